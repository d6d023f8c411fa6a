"""Open calls of an Executor at shared schedulers: performs what `core.failover` decides.

Which scheduler has them, and what is handed over again when it dies, is decided there. Calls are
numbered here once, and as tasks in each handover.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Iterable
from typing import Any

from covey.client.calls import result_of
from covey.client.feed import Entry, Feed
from covey.client.future import Future
from covey.client.handing_over import Handover
from covey.client.scheduler_links import SchedulerLinks
from covey.client.shared_job import Outcome, SharedJob
from covey.client.verdict import Verdict
from covey.core.failover import STRANDED_MAX_S, FailoverCore
from covey.core.failover_events import (
    Abandon,
    Action,
    AskUser,
    Decided,
    Deliver,
    Dropped,
    Event,
    Fail,
    Forgot,
    Gone,
    HandOver,
    Heard,
    Launch,
    LinkDown,
    LinkUp,
    Look,
    Probe,
    Results,
    Strand,
    Submitted,
    Withdraw,
)
from covey.errors import CoveyError, DecodeError, JobNotFound, SchedulerLost
from covey.model.reference import is_reference, read_reference
from covey.model.task import OutcomeState
from covey.wire.messages import Advanced, Answer, Ask

log = logging.getLogger(__name__)

#: The scheduler is told at least after so many outcomes that they came.
TELL_EVERY = 1000


class Failover:
    """Has calls run by one of the schedulers of an executor. One loop. Implements `Hears`."""

    def __init__(
        self,
        feed: Feed,
        on_ended: Callable[[], None],
        on_stranded: Callable[[CoveyError], None],
        on_lost: Callable[[str, str], None] | None = None,
    ) -> None:
        """Use `start`.

        Args:
            feed: where functions are, and which schedulers.
            on_ended: hears that calls have ended, whatever became of them.
            on_stranded: hears why no more calls can be run, before the open ones fail.
            on_lost: hears which scheduler is left for the next one, and why; None = it is logged.
        """
        self._feed = feed
        self._on_ended = on_ended
        self._on_stranded = on_stranded
        self._on_lost = on_lost
        self._names = feed.place.schedulers
        self._loop = asyncio.get_running_loop()
        self._core = FailoverCore(self._names, self._loop.time())
        self._ids = itertools.count(1)
        #: Open calls, by their numbers.
        self._entries: dict[int, Entry] = {}
        #: Outcomes that are being decided upon: number of the call -> (report, state).
        self._came: dict[int, tuple[bytes, int]] = {}
        self._unwanted: set[int] = set()
        self._handover: Handover | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._verdict = Verdict(feed.place.on_failover)
        self._is_closed = False

    async def start(self) -> None:
        """Connect to the schedulers.

        Raises:
            CoveyError: the cluster cannot be reached.
        """
        self._links = await SchedulerLinks.connect(self._feed.place.settings, self._names, self)
        # Its clocks begin now.
        self._handle(LinkUp())

    async def close(self) -> None:
        """Disconnect; what is left open at the scheduler is stopped, and all of it forgotten."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._handover is not None:
            self._handover.give_up()
        await self._links.close()

    # ------------------------------------------------------------ calls

    def submit(self, entries: Iterable[Entry]) -> None:
        """Have these calls run."""
        ids: list[int] = []
        for entry in entries:
            if not entry[0].done():
                ids.append(next(self._ids))
                self._entries[ids[-1]] = entry
                entry[0].task = (0, ids[-1])
        if ids:
            self._handle(Submitted(ids))

    def drop(self, future: "Future[Any]") -> None:
        """Nobody wants this call any more."""
        if future.task is not None and self._entries.pop(future.task[1], None) is not None:
            self._handle(Dropped([future.task[1]]))
            self._on_ended()

    async def ask(self, name: str, what: str) -> dict[str, Any]:
        """What a scheduler answers to a question that is about no call; waits for it.

        Raises:
            CoveyError: it does not understand.
        """
        return await self._links.request(name, lambda nonce: Ask(nonce, what))

    @property
    def is_idle(self) -> bool:
        """No call is open."""
        return not self._entries

    def futures(self) -> list["Future[Any]"]:
        """Of the open calls."""
        return [entry[0] for entry in self._entries.values()]

    def is_running(self, future: "Future[Any]") -> bool:
        """Whether it has been granted: tasks are, in their order, as far as nothing failed."""
        handover, where = self._handover, future.task
        if handover is None or where is None:
            return False
        return any(
            where[1] in itertools.islice(tuple(job.calls.values()), job.running)
            for job in tuple(handover.jobs.values())
        )

    # ------------------------------------------------------------ Hears

    def heard(self, name: str) -> None:
        """See `Hears`."""
        self._handle(Heard(name))

    def gone(self, name: str) -> None:
        """See `Hears`."""
        self._handle(Gone(name))

    def link(self, *, is_up: bool) -> None:
        """See `Hears`."""
        self._handle(LinkUp() if is_up else LinkDown())

    def watched(self, name: str, job: int, answer: Answer) -> None:
        """See `Hears`."""
        handover = self._handover
        known = handover.job(name, job) if handover is not None else None
        if handover is None or known is None:
            return
        if answer.error:
            if answer.error[0] == JobNotFound.__name__:
                self._handle(Forgot(handover.number))
        else:
            known.running = int(answer.value.get("running", 0))

    def advanced(self, name: str, message: Advanced) -> None:
        """See `Hears`."""
        handover = self._handover
        job = handover.job(name, message.job) if handover is not None else None
        if handover is None or job is None:
            return
        try:
            news = job.news(message)
        except (DecodeError, ValueError) as error:
            log.warning("outcomes from scheduler %s make no sense: %s", name, error)
            return
        if any(is_reference(report) for _, _, report in news):
            job.is_fetching = True
            handover.keep(self._fetch(handover, job, news))
        elif news:
            self._take(handover, job, news)

    # ------------------------------------------------------------ outcomes

    async def _fetch(self, handover: Handover, job: SharedJob, news: list[Outcome]) -> None:
        """Large reports are asked for; what does not come is said again."""
        digests = {read_reference(r)[0] for _, _, r in news if is_reference(r)}
        try:
            got = [await self._links.fetch(handover.name, digest) for digest in digests]
        except CoveyError as error:
            log.warning("a large result did not come, it is asked for again: %s", error)
            return
        finally:
            job.is_fetching = False
        whole = dict(zip(digests, got, strict=True))
        full = [
            (task, state, whole[read_reference(r)[0]] if is_reference(r) else r)
            for task, state, r in news
        ]
        if handover is self._handover:
            self._take(handover, job, full)

    def _take(self, handover: Handover, job: SharedJob, news: list[Outcome]) -> None:
        job.seq += len(news)
        for task, state, report in news:
            one = job.calls.pop(task, 0)
            self._came[one] = (report, state)
        self._handle(Results(handover.number, list(self._came)))
        self._came.clear()
        if job.is_over:
            handover.finish(job)
        elif job.seq - job.told >= TELL_EVERY:
            handover.watch(job)
        self._on_ended()

    def _deliver(self, ids: list[int]) -> None:
        for one in ids:
            entry = self._entries.pop(one, None)
            if entry is None:
                continue
            future, _, _, _, deliver = entry
            report, state = self._came[one]
            if state == OutcomeState.CANCELLED:
                future.cancel()
            elif deliver is not None:
                deliver(future, report or None, state)
            elif not future.done():
                future.deliver(*result_of(report or None, state))

    def _refuse(self, ids: list[int], error: BaseException) -> None:
        """They will not be run."""
        for one in ids:
            if entry := self._entries.pop(one, None):
                entry[0].deliver(None, error)
        self._on_ended()

    def _refused(self, ids: list[int], error: CoveyError) -> None:
        """The scheduler does not accept these calls."""
        self._refuse(ids, error)
        self._handle(Dropped(ids))

    # ------------------------------------------------------------ decisions, performed

    def _handle(self, event: Event) -> None:
        self._perform_all(self._core.handle(event, self._loop.time()))

    def _look(self, due: float) -> None:
        # Timers may come a little early.
        self._perform_all(self._core.handle(Look(), max(due, self._loop.time())))

    def _perform_all(self, actions: list[Action]) -> None:
        for action in actions:
            self._perform(action)
        self._arm()

    def _perform(self, action: Action) -> None:
        match action:
            case Deliver(ids):
                self._deliver(ids)
            case HandOver(ids):
                if self._handover is not None:
                    self._handover.add(ids)
            case Probe(name):
                if self._handover is None or not self._handover.probe(name):
                    self._links.probe(name)
            case Withdraw(ids):
                if not self._unwanted:
                    self._loop.call_soon(self._withdraw)
                self._unwanted.update(ids)
            case _:
                self._perform_rarer(action)

    def _perform_rarer(self, action: Action) -> None:
        match action:
            case Launch(name, number, ids):
                self._handover = Handover(
                    number, name, self._feed, self._links, self._entries, self._refused
                )
                self._handover.begin(ids, lambda: self._handle(Forgot(number)))
            case Abandon(name, _, why):
                self._verdict.lost_why = f"scheduler {name} {why}"
                if self._handover is not None:
                    self._handover.give_up()
                    self._handover = None
                if self._on_lost is not None:
                    self._on_lost(name, why)
                else:
                    count = len(self._entries)
                    log.warning("%s: %d calls were open", self._verdict.lost_why, count)
            case AskUser(number, ids):
                futures = [self._entries[one][0] for one in ids if one in self._entries]
                self._verdict.ask(futures, lambda again: self._handle(Decided(number, again)))
            case Fail(ids):
                self._refuse(ids, self._verdict.error())
            case Strand(ids):
                self._strand(ids)
            case _:
                raise AssertionError(action)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        wake_at = self._core.wake_at
        if wake_at is not None and not self._is_closed:
            self._timer = self._loop.call_at(wake_at, self._look, wake_at)

    def _withdraw(self) -> None:
        ids, self._unwanted = self._unwanted, set()
        if self._handover is not None:
            self._handover.withdraw(ids)

    def _strand(self, ids: list[int]) -> None:
        names = self._names
        which = f"scheduler {names[0]} has" if len(names) == 1 else f"none of {_and(names)} has"
        error = SchedulerLost(
            f"{which} answered for {STRANDED_MAX_S:.0f} s: start one with: covey scheduler --name"
            f" {names[0]}"
        )
        self._on_stranded(error)
        self._refuse(ids, error)


def _and(names: tuple[str, ...]) -> str:
    return ", ".join(names)
