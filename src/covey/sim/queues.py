"""The engine `policies`: the very placement policies of `core.placement` over bare queues.

What is left of an agent is its free slots and a first-come-first-served queue; of a scheduler, the
tasks that it has not granted. Messages take their time and are counted, sessions do not exist,
nothing fails. A test holds this engine to `cluster`, which drives the real cores, at sizes that
both can do; it is here because it is many times as fast.

A machine asks for one task per free slot and holds the slot until the answer is there (protocol.md
rule 9, pure).
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from covey.core.placement import PlacementPolicy
from covey.sim.kernel import Kernel
from covey.sim.links import Latency
from covey.sim.workload import SimJob

#: In the place of a task's duration: the entry of a queue is a reservation, which names no task.
RESERVED = -1.0


class Machine:
    """Slots, and what waits for them: (job, since, duration of the task or RESERVED)."""

    __slots__ = ("free", "queue", "slow")

    def __init__(self, slots: int, speed: float) -> None:
        self.free = slots
        #: Seconds that a second's task takes here.
        self.slow = 1.0 / speed
        self.queue: deque[tuple[Running, float, float]] = deque()


class Running:
    """A job at its scheduler: which tasks are not granted, and who may still ask for one."""

    __slots__ = ("asked", "durations", "granted", "job", "left")

    def __init__(self, job: SimJob) -> None:
        self.job = job
        self.durations = job.durations
        self.granted = 0
        self.left = len(job.durations)
        #: Machine -> reservations that it has not claimed for.
        self.asked: dict[Machine, int] = {}


class Queues:
    """Machines alike, jobs that arrive, and a policy between them.

    Args:
        kernel: its `hop_s` is the delay of a message, if all take the same.
        machines: how many.
        slots: of each.
        speeds: of machines, in turn: 2.0 does a task in half the time.
        latency: of messages.
        policy: where tasks or reservations go.
        has_cancellation: reservations left over are taken back when the last task is granted.
    """

    def __init__(
        self,
        kernel: Kernel,
        machines: int,
        slots: int,
        speeds: tuple[float, ...],
        latency: Latency,
        policy: PlacementPolicy,
        *,
        has_cancellation: bool = True,
    ) -> None:
        self._kernel = kernel
        self._latency = latency
        self._policy = policy
        self._has_cancellation = has_cancellation
        self._names = [f"m{number}" for number in range(1, machines + 1)]
        self._machines = {
            name: Machine(slots, speeds[at % len(speeds)]) for at, name in enumerate(self._names)
        }
        self._slots = slots
        #: Messages said, of any kind.
        self.messages = 0

    def arrive(self, job: SimJob) -> None:
        """A job comes to its scheduler now."""
        running = Running(job)
        groups = self._policy.sample(running.left, self._names, self._kernel.rng)
        if not self._policy.traits.asks:
            self._place(running, groups, {})
            return
        probed = list(dict.fromkeys(name for group in groups for name in group))
        self.messages += 2 * len(probed)
        self._deliver(self._probe, (running, groups, probed))

    # -- messages

    def _deliver(self, what: Callable[[Any], None], argument: Any) -> None:
        kernel = self._kernel
        if self._latency.is_constant:
            kernel.soon(what, argument)
        else:
            kernel.after(self._latency.draw(kernel.rng), what, argument)

    def _probe(self, argument: tuple[Running, list[list[str]], list[str]]) -> None:
        """Machines say how much is with them."""
        running, groups, probed = argument
        machines, slots = self._machines, self._slots
        loads = {
            name: len(machine.queue) + slots - machine.free
            for name in probed
            for machine in (machines[name],)
        }
        self._deliver(self._told, (running, groups, loads))

    def _told(self, argument: tuple[Running, list[list[str]], dict[str, int]]) -> None:
        self._place(*argument)

    def _place(self, running: Running, groups: list[list[str]], loads: dict[str, int]) -> None:
        placed = self._policy.place(running.left, groups, loads)
        machines, durations = self._machines, running.durations
        self.messages += len(placed)
        bound = [
            (machines[name], RESERVED if task is None else durations[task]) for name, task in placed
        ]
        if self._has_cancellation:
            asked = running.asked
            for machine, duration in bound:
                if duration == RESERVED:
                    asked[machine] = asked.get(machine, 0) + 1
        if self._latency.is_constant:
            self._deliver(self._enqueue, (running, bound))
        else:
            for one in bound:
                self._deliver(self._enqueue, (running, [one]))

    def _enqueue(self, argument: tuple[Running, list[tuple[Machine, float]]]) -> None:
        running, bound = argument
        now = self._kernel.now
        for machine, duration in bound:
            if not machine.free:
                machine.queue.append((running, now, duration))
                continue
            machine.free -= 1
            if duration == RESERVED:
                self._claim(machine, running, 0.0)
            else:
                self._kernel.after(duration * machine.slow, self._ended, (machine, running))

    # -- slots

    def _serve(self, machine: Machine) -> None:
        """A slot is free: the next of the queue has it."""
        if not machine.queue:
            machine.free += 1
            return
        running, since, duration = machine.queue.popleft()
        waited = self._kernel.now - since
        if duration == RESERVED:
            self._claim(machine, running, waited)
            return
        running.job.waited_s = max(running.job.waited_s, waited)
        self._kernel.after(duration * machine.slow, self._ended, (machine, running))

    def _claim(self, machine: Machine, running: Running, waited: float) -> None:
        self.messages += 2
        self._deliver(self._asked, (machine, running, waited))

    def _asked(self, argument: tuple[Machine, Running, float]) -> None:
        """The scheduler answers a claim with a task, or with none."""
        machine, running, waited = argument
        if self._has_cancellation:
            asked = running.asked
            count = asked.get(machine, 0)
            if count > 1:
                asked[machine] = count - 1
            elif count:
                del asked[machine]
        at = running.granted
        if at == len(running.durations):
            self._deliver(self._serve, machine)
            return
        running.granted = at + 1
        running.job.waited_s = max(running.job.waited_s, waited)
        kernel = self._kernel
        constant = self._latency.is_constant
        hop_s = kernel.hop_s if constant else self._latency.draw(kernel.rng)
        duration = running.durations[at] * machine.slow
        kernel.after(hop_s + duration, self._ended, (machine, running))
        if running.asked and running.granted == len(running.durations):
            self._cancel(running)

    def _cancel(self, running: Running) -> None:
        machines = list(running.asked)
        running.asked.clear()
        self.messages += len(machines)
        if self._latency.is_constant:
            self._deliver(self._cancelled, (running, machines))
        else:
            for machine in machines:
                self._deliver(self._cancelled, (running, [machine]))

    def _cancelled(self, argument: tuple[Running, list[Machine]]) -> None:
        running, machines = argument
        for machine in machines:
            for entry in [entry for entry in machine.queue if entry[0] is running]:
                machine.queue.remove(entry)

    def _ended(self, argument: tuple[Machine, Running]) -> None:
        machine, running = argument
        self.messages += 1
        running.left -= 1
        if not running.left:
            running.job.ended_at = self._kernel.now + self._latency.mean_s
        self._serve(machine)
