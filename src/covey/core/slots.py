"""The slots of an agent and what runs in them."""

import heapq
from dataclasses import dataclass

from covey.core.reservations import Bound, Work

#: Tasks that take no slot (`Shape.slots` = 0) and run at once on an agent. Others wait for their
#: end, never for a slot.
ASIDE_MAX = 8


@dataclass(slots=True, eq=False)
class Run:
    """A chunk that was started: its tasks run one by one in `slots[0]` and keep all `slots`.

    ended: how many of its tasks ended. moved_at: when the last one did (or the start). is_orphan:
    its scheduler is gone, nobody wants the outcomes. is_returning: killed to free memory; what dies
    of it goes back. is_struck: the tasks behind the current one were asked back.
    """

    work: Work
    term: int
    ids: list[int]
    ns: list[int]
    guess_s: float
    slots: list[int]
    started_at: float
    moved_at: float
    ended: int = 0
    is_orphan: bool = False
    is_returning: bool = False
    is_struck: bool = False

    def left(self) -> list[int]:
        """Ids of the tasks that have not ended."""
        return self.ids[self.ended :]


class SlotTable:
    """Slots 1..count. Laws: each slot is free or in exactly one run."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(1, count + 1))
        #: first slot -> what runs there
        self.runs: dict[int, Run] = {}
        #: (scheduler, job) -> runs, for Shape.limit
        self._of_job: dict[tuple[str, int], int] = {}

    @property
    def free(self) -> int:
        """Slots in which nothing runs."""
        return len(self._free)

    @property
    def busy(self) -> int:
        """Slots in which something runs."""
        return self.count - len(self._free)

    def runs_of(self, scheduler: str, job: int) -> int:
        """Chunks of a job that run here."""
        return self._of_job.get((scheduler, job), 0)

    def start(self, work: Work, bound: Bound, need: int, now: float) -> Run:
        """Take `need` free slots, the lowest ones, for a chunk."""
        slots = [heapq.heappop(self._free) for _ in range(need)]
        run = Run(work, bound.term, bound.ids, bound.ns, bound.guess_s, slots, now, now)
        self.runs[slots[0]] = run
        key = work.scheduler, work.job
        self._of_job[key] = self._of_job.get(key, 0) + 1
        work.running += 1
        return run

    def release(self, run: Run) -> None:
        """The chunk is through."""
        del self.runs[run.slots[0]]
        for slot in run.slots:
            heapq.heappush(self._free, slot)
        key = run.work.scheduler, run.work.job
        self._of_job[key] -= 1
        if not self._of_job[key]:
            del self._of_job[key]
        run.work.running -= 1

    def check(self) -> None:
        """The laws, as assertions."""
        used = [slot for run in self.runs.values() for slot in run.slots]
        assert sorted(used + self._free) == list(range(1, self.count + 1))
        assert sum(self._of_job.values()) == len(self.runs)
        for first, run in self.runs.items():
            assert run.slots[0] == first
            assert run.ended <= len(run.ids) == len(run.ns)
