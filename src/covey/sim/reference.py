"""What no scheduler can do: references to hold policies against.

`Omniscient` knows of each slot at once; `WorkStealing` places at random and lets machines that have
nothing to do take from others (as in the simulations of the Sparrow authors). Both are bare queues,
like `queues`.
"""

from collections import deque

from covey.sim.kernel import Kernel
from covey.sim.workload import SimJob

#: Machines that a free slot asks for work, one after the other, before it rests until the next task
#: ends there. More find more, and cost two messages each.
STEAL_TRIES = 5


class _Left:
    __slots__ = ("count", "job")

    def __init__(self, job: SimJob) -> None:
        self.job = job
        self.count = len(job.durations)


#: A task that waits: its job, since when, how long it will take.
_Task = tuple[_Left, float, float]


class Omniscient:
    """Greedy with full knowledge: a free slot anywhere has the task that came first.

    Source: the ideal of Ousterhout et al., SOSP'13, §3 and figure 3. A task that found a free slot
    is on its way for one hop; one that waited is there when its slot is free.
    """

    def __init__(self, kernel: Kernel, machines: int, slots: int) -> None:
        self._kernel = kernel
        self._free = machines * slots
        self._queue: deque[_Task] = deque()
        #: Messages said: a grant and an outcome for each task.
        self.messages = 0

    def arrive(self, job: SimJob) -> None:
        """A job comes now."""
        kernel, left = self._kernel, _Left(job)
        self.messages += 2 * left.count
        for duration in job.durations:
            if self._free:
                self._free -= 1
                kernel.after(kernel.hop_s + duration, self._ended, left)
            else:
                self._queue.append((left, kernel.now, duration))

    def _ended(self, left: _Left) -> None:
        kernel = self._kernel
        _count_down(left, kernel)
        if not self._queue:
            self._free += 1
            return
        other, since, duration = self._queue.popleft()
        other.job.waited_s = max(other.job.waited_s, kernel.now - since)
        kernel.after(duration, self._ended, other)


class _Machine:
    __slots__ = ("free", "queue")

    def __init__(self, slots: int) -> None:
        self.free = slots
        self.queue: deque[_Task] = deque()


class WorkStealing:
    """Random placement; a slot that gets free and finds nothing asks others for what waits there.

    Up to STEAL_TRIES machines, drawn at random; the one asked gives what has waited longest.
    """

    def __init__(self, kernel: Kernel, machines: int, slots: int) -> None:
        self._kernel = kernel
        self._machines = [_Machine(slots) for _ in range(machines)]
        #: Messages said, of any kind.
        self.messages = 0

    def arrive(self, job: SimJob) -> None:
        """A job comes to its scheduler now."""
        kernel, left = self._kernel, _Left(job)
        self.messages += left.count
        for duration in job.durations:
            machine = kernel.rng.choice(self._machines)
            kernel.soon(self._enqueue, (machine, left, duration))

    def _enqueue(self, argument: tuple[_Machine, _Left, float]) -> None:
        machine, left, duration = argument
        machine.queue.append((left, self._kernel.now, duration))
        self._serve(machine)

    def _serve(self, machine: _Machine) -> None:
        while machine.free and machine.queue:
            left, since, duration = machine.queue.popleft()
            machine.free -= 1
            left.job.waited_s = max(left.job.waited_s, self._kernel.now - since)
            self._kernel.after(duration, self._ended, (machine, left))

    def _ended(self, argument: tuple[_Machine, _Left]) -> None:
        machine, left = argument
        self.messages += 1
        _count_down(left, self._kernel)
        machine.free += 1
        if machine.queue:
            self._serve(machine)
        else:
            self._steal(machine, STEAL_TRIES)

    def _steal(self, thief: _Machine, tries: int) -> None:
        self.messages += 2
        victim = self._kernel.rng.choice(self._machines)
        self._kernel.soon(self._asked, (thief, victim, tries))

    def _asked(self, argument: tuple[_Machine, _Machine, int]) -> None:
        thief, victim, tries = argument
        task = victim.queue.popleft() if victim.queue else None
        self._kernel.soon(self._answered, (thief, task, tries - 1))

    def _answered(self, argument: tuple[_Machine, _Task | None, int]) -> None:
        thief, task, tries = argument
        if task is not None:
            thief.queue.appendleft(task)
            self._serve(thief)
        elif tries and thief.free and not thief.queue:
            self._steal(thief, tries)


def _count_down(left: _Left, kernel: Kernel) -> None:
    left.count -= 1
    if not left.count:
        left.job.ended_at = kernel.now + kernel.hop_s
