"""Claims that schedulers have not answered.

Laws: a line that asks for several tasks shares one outstanding claim with all such lines of its
scheduler; one that asks for one task per claim has one of its own. A claim holds slots for
CLAIM_LIMIT_S at most; a scheduler that owes an answer for longer gets no other claim, void or not.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from covey.core.claims import CLAIM_LIMIT_S
from covey.core.queueing import QueuePolicy
from covey.core.reservations import Work

#: Whose answer is awaited: (scheduler, 0, 0), or (scheduler, job, shape) of one task per claim.
Asker = tuple[str, int, int]


@dataclass(slots=True, eq=False)
class Claim:
    """A claim that its scheduler has not answered. `charged_s` is given back then. `queued_at`:
    since when the reservation had waited.
    """

    work: Work
    at: float
    room: int = 0
    slots: int = 0
    charged_s: float = 0.0
    is_void: bool = False
    queued_at: float = 0.0


class Claims:
    """The claims of one agent that are out."""

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._claims: dict[Asker, Claim] = {}
        #: scheduler -> seconds from claim to grant
        self.round_trip_s: dict[str, float] = {}

    def __iter__(self) -> Iterator[Claim]:
        return iter(self._claims.values())

    @property
    def held(self) -> int:
        """Slots that claims hold."""
        held = 0
        for claim in self._claims.values():
            held += claim.slots
        return held

    def may_ask(self, work: Work) -> bool:
        """Whether nothing is owed that forbids a claim of this line."""
        if not self._claims:
            return True
        if work.asker in self._claims:
            return False
        return not any(
            claim.is_void and claim.work.scheduler == work.scheduler
            for claim in self._claims.values()
        )

    def of(self, scheduler: str, job: int, shape: int) -> Claim | None:
        """The claim of a line."""
        for asker in ((scheduler, 0, 0), (scheduler, job, shape)):
            claim = self._claims.get(asker)
            if claim is not None and (claim.work.job, claim.work.shape) == (job, shape):
                return claim
        return None

    def add(self, claim: Claim) -> None:
        """It is being sent."""
        self._claims[claim.work.asker] = claim

    def answered(self, scheduler: str, job: int, shape: int, now: float, granted: bool) -> None:
        """The scheduler spoke of this shape (0 = the whole job): no answer to it is owed."""
        for claim in list(self._claims.values()):
            work = claim.work
            if work.scheduler != scheduler or work.job != job or shape not in (0, work.shape):
                continue
            if granted:
                work.pace.grew()
                if not claim.is_void:
                    took = now - claim.at
                    before = self.round_trip_s.get(scheduler, took)
                    self.round_trip_s[scheduler] = before + (took - before) / 4
            self._close(claim)

    def drop(self, scheduler: str) -> None:
        """A new session, or the scheduler is gone: nobody will answer."""
        for claim in list(self._claims.values()):
            if claim.work.scheduler == scheduler:
                self._close(claim)

    def drop_line(self, work: Work) -> None:
        """The line is gone."""
        claim = self._claims.get(work.asker)
        if claim is not None and claim.work is work:
            self._close(claim)

    def void_overdue(self, now: float) -> list[Work]:
        """Claims past their limit hold no slots any more; the answer is still owed."""
        works: list[Work] = []
        for claim in self._claims.values():
            if not claim.is_void and now >= claim.at + CLAIM_LIMIT_S:
                claim.is_void = True
                claim.slots = 0
                self._policy.charge(claim.work, -claim.charged_s)
                claim.charged_s = 0.0
                works.append(claim.work)
        return works

    def void_at(self) -> float:
        """When the first claim that is out is void; inf = there is none."""
        first = math.inf
        for claim in self._claims.values():
            if not claim.is_void:
                first = min(first, claim.at + CLAIM_LIMIT_S)
        return first

    def check(self) -> None:
        """The laws, as assertions."""
        for asker, claim in self._claims.items():
            assert asker == claim.work.asker
            assert claim.slots >= 0
            assert not (claim.is_void and claim.slots)
            assert claim.work.is_multi_get or claim.room <= 1, "one task per claim"

    def _close(self, claim: Claim) -> None:
        self._policy.charge(claim.work, -claim.charged_s)
        del self._claims[claim.work.asker]
