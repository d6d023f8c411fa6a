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

    guess_s: slot-seconds that each task was charged with; put right when it ends. ended: how many
    of its tasks ended. moved_at: when the last one did (or the start). is_orphan: its scheduler is
    gone, nobody wants the outcomes. is_returning: killed to free memory; what dies of it goes back.
    is_struck: the tasks behind the current one were asked back. is_aside: it takes no slot; its
    number is above theirs.
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
    is_aside: bool = False
    #: See `reservations.Bound`.
    stamps: tuple[float, float, float] | None = None

    @property
    def width(self) -> int:
        """How many slots of the agent it takes."""
        return 0 if self.is_aside else len(self.slots)

    def may_yield_to(self, work: Work) -> bool:
        """Whether it may be stopped for the sake of a line."""
        return (
            self.work.priority < work.priority
            and not (self.is_aside or self.is_returning or self.is_orphan)
            and self.ended < len(self.ids)
        )

    def left(self) -> list[int]:
        """Ids of the tasks that have not ended."""
        return self.ids[self.ended :]


class SlotTable:
    """Slots 1 … count, and ASIDE_MAX places above them for tasks that take no slot.

    Laws: each slot and each place is free or in exactly one run.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = list(range(1, count + 1))
        self._aside = list(range(count + 1, count + 1 + ASIDE_MAX))
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

    @property
    def free_aside(self) -> int:
        """Tasks that may be started aside of the slots."""
        return len(self._aside)

    def runs_of(self, scheduler: str, job: int) -> int:
        """Chunks of a job that run here."""
        return self._of_job.get((scheduler, job), 0)

    def start(self, work: Work, bound: Bound, need: int, now: float) -> Run:
        """Take `need` free slots, the lowest ones, for a chunk; 0 = a place aside of them."""
        heap = self._free if need else self._aside
        slots = [heapq.heappop(heap) for _ in range(max(1, need))]
        guess_s = work.pace.guess_s * need
        run = Run(
            work, bound.term, bound.ids, bound.ns, guess_s, slots, now, now, is_aside=not need
        )
        run.stamps = bound.stamps
        self.runs[slots[0]] = run
        key = work.scheduler, work.job
        self._of_job[key] = self._of_job.get(key, 0) + 1
        work.running += 1
        return run

    def release(self, run: Run) -> None:
        """The chunk is through."""
        del self.runs[run.slots[0]]
        for slot in run.slots:
            heapq.heappush(self._free if slot <= self.count else self._aside, slot)
        key = run.work.scheduler, run.work.job
        self._of_job[key] -= 1
        if not self._of_job[key]:
            del self._of_job[key]
        run.work.running -= 1

    def check(self) -> None:
        """The laws, as assertions."""
        used = [slot for run in self.runs.values() for slot in run.slots]
        every = list(range(1, self.count + ASIDE_MAX + 1))
        assert sorted(used + self._free + self._aside) == every
        assert all(slot <= self.count for slot in self._free)
        assert sum(self._of_job.values()) == len(self.runs)
        for first, run in self.runs.items():
            assert run.slots[0] == first
            assert run.ended <= len(run.ids) == len(run.ns)
