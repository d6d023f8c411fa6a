"""What waits at an agent for one shape of one job: reservations and granted tasks."""

from collections import deque
from dataclasses import dataclass

from covey.core.claims import Pace
from covey.model.job import Shape

#: Ids and ns of attempts that were taken out of a line, with their term.
Taken = tuple[int, list[int], list[int]]


@dataclass(slots=True)
class Bound:
    """Tasks granted together and not started. They are charged to nobody before they start.

    stamps: of a traced shape, when the reservation was queued and claimed (0.0 = bound early), and
    when the grant came.
    """

    term: int
    ids: list[int]
    ns: list[int]
    stamps: tuple[float, float, float] | None = None


class Work:
    """A line (see `queueing.Line`): the reservations and the granted, unstarted tasks of one shape.

    level: reservations held. is_standing: claiming does not use them up. is_dormant: the scheduler
    answered that it has no task now and keeps the claim as credit; nothing is claimed until it
    grants or enqueues anew. queued_at: since when the reservations wait, kept of a traced shape.
    is_multi_get: a claim may ask for several tasks. asker: see `asking`.
    """

    __slots__ = (
        "asker",
        "bound",
        "is_dormant",
        "is_multi_get",
        "is_standing",
        "job",
        "level",
        "name",
        "order",
        "pace",
        "queued",
        "queued_at",
        "running",
        "scheduler",
        "shape",
        "terms",
    )

    def __init__(
        self,
        scheduler: str,
        job: int,
        shape: int,
        terms: Shape,
        name: str,
        *,
        is_multi_get: bool = True,
    ) -> None:
        self.scheduler = scheduler
        self.job = job
        self.shape = shape
        self.terms = terms
        self.name = name
        self.is_multi_get = is_multi_get
        self.asker = (scheduler, 0, 0) if is_multi_get else (scheduler, job, shape)
        self.pace = Pace()
        self.order = 0
        self.level = 0
        self.is_standing = True
        self.is_dormant = False
        self.bound: deque[Bound] = deque()
        self.queued = 0
        self.queued_at = 0.0
        self.running = 0
        if terms.time_limit_medians > 0:
            self.pace.follow_median()

    @property
    def user(self) -> str:
        """Against whose share it counts."""
        return self.terms.user

    @property
    def priority(self) -> int:
        """Larger is more urgent."""
        return self.terms.priority

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to start or to claim."""
        return self.queued > 0 or (self.level > 0 and not self.is_dormant)

    def add(self, bound: Bound) -> None:
        """Granted tasks that found no slot yet."""
        self.bound.append(bound)
        self.queued += len(bound.ids)

    def take(self, most: int) -> Bound:
        """The next tasks, at least one, at most `most`, all of one grant."""
        first = self.bound[0]
        if len(first.ids) <= most:
            self.bound.popleft()
            taken = first
        else:
            ids, ns = first.ids[:most], first.ns[:most]
            taken = Bound(first.term, ids, ns, first.stamps)
            del first.ids[:most], first.ns[:most]
        self.queued -= len(taken.ids)
        return taken

    def withdraw(self, wanted: dict[int, int] | None, term: int = 0) -> list[Taken]:
        """Take unstarted tasks out of the line.

        Args:
            wanted: id -> n of attempts (n 0 = any); None = all.
            term: only attempts of this term; 0 = any.
        """
        out: list[Taken] = []
        kept: deque[Bound] = deque()
        for bound in self.bound:
            gone, stay = _split(bound, wanted, term)
            if gone.ids:
                out.append((gone.term, gone.ids, gone.ns))
                self.queued -= len(gone.ids)
            if stay.ids:
                kept.append(stay)
        self.bound = kept
        return out

    def time_limit_s(self) -> float:
        """Seconds that a task started now may run: the shape's, or of the median; 0 = no limit."""
        limits: list[float] = []
        if self.terms.time_limit_s > 0:
            limits.append(self.terms.time_limit_s)
        median_s = self.pace.median_s
        if median_s is not None:
            limits.append(median_s * self.terms.time_limit_medians)
        return min(limits, default=0.0)


def _split(bound: Bound, wanted: dict[int, int] | None, term: int) -> tuple[Bound, Bound]:
    """What of a grant is wanted back, and what stays."""
    gone = Bound(bound.term, [], [], bound.stamps)
    stay = Bound(bound.term, [], [], bound.stamps)
    for i, n in zip(bound.ids, bound.ns, strict=True):
        matches = term in (0, bound.term) and (wanted is None or wanted.get(i, -1) in (0, n))
        side = gone if matches else stay
        side.ids.append(i)
        side.ns.append(n)
    return gone, stay
