"""Which line gets the free slots of an agent: starts of granted tasks, and claims for reservations.

Laws (see also `asking`): a claim holds slots against other claims only: a granted task that is as
urgent takes any free slot. The front line that waits for several slots
is passed for BACKFILL_MAX_S at most. A task that takes no slot waits for no slot.
"""

from collections.abc import Callable

from covey.core.ahead import left_of
from covey.core.asking import Asker, Claim, Claims
from covey.core.claims import CLAIM_MAX
from covey.core.gates import shut
from covey.core.queueing import QueuePolicy
from covey.core.reservations import Work
from covey.core.slots import ASIDE_MAX, Run, SlotTable

#: Seconds for which the front line that waits for several slots lets others pass.
BACKFILL_MAX_S = 1.0
#: Least seconds between two looks whether it is time to claim ahead.
AHEAD_STEP_S = 0.0002


class Serving:
    """The lines that wait, the claims that are out, and who is next.

    why_barred: says of a scheduler why nothing may be claimed from it now ("" = it may).
    """

    def __init__(
        self, slots: SlotTable, policy: QueuePolicy, why_barred: Callable[[str], str]
    ) -> None:
        self.slots = slots
        self.policy = policy
        self.claims = Claims(policy)
        self._waiting: dict[tuple[str, int, int], Work] = {}
        #: Lines of tasks that take no slot: they wait for a place aside only.
        self._aside: dict[tuple[str, int, int], Work] = {}
        #: Lines that may stop less urgent tasks, of those that wait.
        self.preempting: dict[tuple[str, int, int], Work] = {}
        self._why_barred = why_barred
        #: What it said of each scheduler in this turn.
        self._barred: dict[str, str] = {}
        self.load1: float | None = None
        self.memfree_bytes: int | None = None
        self._order = 0
        self._blocked: Work | None = None
        self._blocked_until = 0.0
        self._is_firm = False
        self._ahead_at: float | None = None

    # -- what waits

    def touch(self, work: Work) -> None:
        """The line changed: it waits now, or no more."""
        key = work.scheduler, work.job, work.shape
        waiting = self._waiting if work.terms.slots else self._aside
        if not work.is_waiting:
            waiting.pop(key, None)
            self.preempting.pop(key, None)
            if self._blocked is work:
                self._blocked = None
        elif key not in waiting:
            waiting[key] = work
            if work.terms.may_preempt and work.terms.slots:
                self.preempting[key] = work
            self.renew(work)

    def renew(self, work: Work) -> None:
        """To the end of the line of its equals."""
        self._order += 1
        work.order = self._order

    def forget(self, work: Work) -> None:
        """The line is gone, whatever waited in it."""
        key = (work.scheduler, work.job, work.shape)
        for waiting in (self._waiting, self._aside, self.preempting):
            waiting.pop(key, None)
        if self._blocked is work:
            self._blocked = None
        self.claims.drop_line(work)

    # -- claims

    @property
    def room(self) -> int:
        """Slots that are free and not held by a claim."""
        return max(0, self.slots.free - self.claims.held)

    def drop_scheduler(self, scheduler: str) -> None:
        """It is gone: nothing of it is remembered here."""
        self.claims.drop(scheduler)
        self.claims.round_trip_s.pop(scheduler, None)

    def void_overdue(self, now: float) -> None:
        """Lines whose claims were answered in no time go behind their equals."""
        for work in self.claims.void_overdue(now):
            self.renew(work)

    # -- who is next

    def wake_at(self) -> float:
        """When serving has something to do by itself; inf = never."""
        wake_at = self.claims.void_at()
        if self._blocked is not None and not self._is_firm:
            wake_at = min(wake_at, self._blocked_until)
        return wake_at if self._ahead_at is None else min(wake_at, self._ahead_at)

    def serve(self, now: float) -> tuple[list[Run], list[Claim]]:
        """Give the free slots away.

        Returns:
            Chunks to start, and claims to send; both are entered in the books already.
        """
        self._ahead_at = None
        if not self._waiting and not self._aside:
            return [], []
        self._barred.clear()
        runs = self._serve_aside(now) if self._aside else []
        asked: dict[Asker, Claim] = {}
        if self._blocked is not None and now >= self._blocked_until:
            self._is_firm = True
        if self._serve_slots(runs, asked, now) and not asked:
            self._ask_ahead(asked, now)
        if self.preempting:
            self._ask_to_preempt(asked, now)
        return runs, self._commit(asked) if asked else []

    def _serve_slots(self, runs: list[Run], asked: dict[Asker, Claim], now: float) -> bool:
        """Give each free slot to the front line; False: it waits for several, and none may pass."""
        passed: list[Work] = []
        while self.slots.free:
            # Where claims hold every free slot, no line has to be looked at that could only claim.
            has_spare = self.slots.free > self.claims.held + sum(c.slots for c in asked.values())
            work = self._front(asked, passed, has_spare=has_spare)
            if work is None:
                break
            need = min(work.terms.slots, self.slots.count)
            spare = self._spare(work, asked)
            if spare < need:
                if need > 1 and not self._may_pass(work, now):
                    return False
                passed.append(work)
            else:
                if self._blocked is work:
                    self._blocked = None
                if self.may_start(work):
                    runs.append(self._start(work, need, spare, now))
                else:
                    self._ask(work, asked, need, 1, now)
        return True

    def _serve_aside(self, now: float) -> list[Run]:
        """Start what takes no slot, as far as there are places; the longest waiting line first."""
        runs: list[Run] = []
        for work in sorted(self._aside.values(), key=lambda work: work.order):
            while self.slots.free_aside and self.may_start(work):
                runs.append(self._start(work, 0, 0, now))
        return runs

    def _front(
        self,
        asked: dict[Asker, Claim],
        passed: list[Work],
        *,
        ahead: bool = False,
        has_spare: bool = True,
    ) -> Work | None:
        """Who is next for a slot; with `ahead`, for a claim before a slot is free.

        has_spare: whether a claim could hold a slot. A line that waits for several is looked at all
        the same: it blocks others.
        """
        best: Work | None = None
        best_key: tuple[float, ...] = ()
        for work in self._waiting.values():
            if work in passed:
                continue
            if not ahead and self.may_start(work):
                late = 0
            elif (has_spare or work.terms.slots > 1) and self._may_ask(work, asked, ahead=ahead):
                late = 1
            else:
                continue
            share, *rank = self.policy.rank(work)
            key = (-self.policy.urgency(work), share, late, *rank)
            if best is None or key < best_key:
                best, best_key = work, key
        return best

    def may_start(self, work: Work) -> bool:
        """Whether a granted task waits that nothing but slots keeps from running."""
        return work.queued > 0 and self.is_open(work) and self.headroom(work) > 0

    def _may_ask(self, work: Work, asked: dict[Asker, Claim], *, ahead: bool) -> bool:
        if work.level <= 0 or work.is_dormant or work.terms.slots > self.slots.count:
            return False
        if self._is_barred(work.scheduler) or not self.claims.may_ask(work):
            return False
        if not self.is_open(work):
            return False
        if ahead:
            # It takes over the slots of its own job: the limit holds when they are started.
            return self.headroom(work) > 0 or self.slots.runs_of(work.scheduler, work.job) > 0
        mine = asked.get(work.asker)
        if mine is None:
            return self.headroom(work) > 0
        if not work.is_multi_get:
            return False
        most = CLAIM_MAX if work.is_standing else min(work.level, CLAIM_MAX)
        claimed = mine.slots // work.terms.slots
        return mine.work is work and mine.room < most and claimed < self.headroom(work)

    def _is_barred(self, scheduler: str) -> bool:
        why = self._barred.get(scheduler)
        if why is None:
            why = self._barred[scheduler] = self._why_barred(scheduler)
        return bool(why)

    def headroom(self, work: Work) -> int:
        """Chunks of the job that may be started beside those that run (Shape.limit)."""
        if not (limit := work.terms.at_once):
            return self.slots.count
        return limit - self.slots.runs_of(work.scheduler, work.job)

    def is_open(self, work: Work) -> bool:
        """Whether load and free memory of the machine let the shape start. No gauge = yes."""
        terms = work.terms
        if not (terms.load_max or terms.memfree_bytes):
            return True
        return not shut(terms, self.load1, self.memfree_bytes)

    def _spare(self, work: Work, asked: dict[Asker, Claim]) -> int:
        """Free slots for this line: claims hold theirs against claims and less urgent tasks."""
        claims = [*self.claims, *asked.values()]
        if self.may_start(work):
            mine = self.policy.urgency(work)
            claims = [claim for claim in claims if self.policy.urgency(claim.work) > mine]
        return self.slots.free - sum(claim.slots for claim in claims)

    def _may_pass(self, work: Work, now: float) -> bool:
        """Whether others may still pass the line that waits for several slots."""
        if self._blocked is None:
            self._blocked = work
            self._blocked_until = now + BACKFILL_MAX_S
            self._is_firm = False
        return not (self._is_firm and self._blocked is work)

    # -- starting and asking

    def _start(self, work: Work, need: int, spare: int, now: float) -> Run:
        most = 1
        if work.terms.may_chunk and need == 1 and work.is_multi_get:
            # Shared with the other free slots, and a part kept for those that are free soon.
            share = max(spare, (self.slots.count + 1) // 2)
            most = min(work.pace.chunk_max(), -(-work.queued // share))
        run = self.slots.start(work, work.take(most), need, now)
        # Not when it was granted: who has much waiting here, bound early, was given nothing yet.
        self.policy.charge(work, run.guess_s * len(run.ids))
        self.touch(work)
        return run

    def _ask(
        self, work: Work, asked: dict[Asker, Claim], need: int, slots: int, now: float
    ) -> None:
        """Ask for one more share (`slots` shares of which `need` slots are held)."""
        claim = asked.setdefault(work.asker, Claim(work, now))
        share = self._share(work) * slots
        most = CLAIM_MAX if work.is_standing else min(work.level, CLAIM_MAX)
        tasks = min(share, most - claim.room)
        claim.room += tasks
        claim.slots += need
        cost = tasks * work.pace.guess_s * work.terms.slots
        claim.charged_s += cost
        self.policy.charge(work, cost)

    def _share(self, work: Work) -> int:
        terms = work.terms
        if not work.is_multi_get or terms.slots > 1 or not terms.may_wait or terms.is_spread:
            return 1
        return work.pace.per_slot(self.claims.round_trip_s.get(work.scheduler, 0.0))

    def _ask_ahead(self, asked: dict[Asker, Claim], now: float) -> None:
        """All slots work on short tasks: claim when one of them has less than a round trip left."""
        if self.slots.free:
            return
        runs = self.slots.runs.values()
        soon = [run for run in runs if run.work.pace.is_short and not run.is_aside]
        if not soon or not any(map(self.claims.may_ask, self._waiting.values())):
            return
        long = [
            work
            for work in self._waiting.values()
            if not (
                work.pace.is_short
                and work.terms.slots == 1
                and work.terms.may_wait
                and work.is_multi_get
            )
        ]
        work = self._front(asked, long, ahead=True)
        if work is None:
            return
        queues = [(other.queued, other.pace) for other in self._waiting.values() if other.queued]
        ahead = left_of(soon, queues, now)
        round_trip_s = self.claims.round_trip_s.get(work.scheduler)
        if ahead is None or round_trip_s is None:
            return
        if ahead.until_dry_s <= round_trip_s:
            self._ask(work, asked, 0, min(ahead.shares, work.terms.at_once or ahead.shares), now)
        else:
            self._ahead_at = now + max(ahead.until_dry_s - round_trip_s, AHEAD_STEP_S)

    def _ask_to_preempt(self, asked: dict[Asker, Claim], now: float) -> None:
        """Ask for urgent tasks that may stop others: a slot is made for them when they come."""
        free = self.slots.free
        for work in self.preempting.values():
            need = work.terms.slots
            if free >= need or work.asker in asked or not self._may_ask(work, asked, ahead=True):
                continue
            below = [run.width for run in self.slots.runs.values() if run.may_yield_to(work)]
            room = (free + sum(below)) // need - work.queued
            if room > 0:
                self._ask(work, asked, 0, room if work.is_multi_get else 1, now)

    def _commit(self, asked: dict[Asker, Claim]) -> list[Claim]:
        for claim in asked.values():
            self.claims.add(claim)
            work = claim.work
            claim.queued_at = work.queued_at
            if work.is_standing:
                work.queued_at = claim.at
                self.renew(work)
            else:
                work.level -= claim.room
                self.touch(work)
        return list(asked.values())

    # -- telling

    def why_not(self, work: Work) -> str:
        """Why nothing of this line is started or claimed now; "" = it is not stuck."""
        if not work.is_waiting:
            return "the scheduler has no task for it now" if work.is_dormant else ""
        reasons = {
            f"needs {work.terms.slots} slots, there are {self.slots.count}": (
                work.terms.slots > self.slots.count
            ),
            "too little memory is free, or the load is too high": not self.is_open(work),
            f"{work.terms.at_once} of its tasks run already": self.headroom(work) <= 0,
            (barred := self._why_barred(work.scheduler)): bool(barred) and not work.queued,
            f"{ASIDE_MAX} tasks run aside of the slots already": (
                not work.terms.slots and not self.slots.free_aside
            ),
            "the scheduler has not answered a claim": not self.claims.may_ask(work),
            "no slot is free": self.slots.free < work.terms.slots,
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    def check(self) -> None:
        """The laws, as assertions."""
        self.slots.check()
        for key, work in (*self._waiting.items(), *self._aside.items()):
            assert key == (work.scheduler, work.job, work.shape)
            assert work.is_waiting
        assert all(work.terms.slots for work in self._waiting.values())
        assert all(self._waiting.get(key) is work for key, work in self.preempting.items())
        for work in self._aside.values():
            waits_for_place = not self.slots.free_aside
            assert waits_for_place or not self.may_start(work), (
                "a task waits though it takes no slot"
            )
        self.claims.check()
        assert self._blocked is None or self._blocked.is_waiting
