"""A scheduler of `covey sparrow` that is a `covey scheduler`, by name.

Jobs reach it as the calls of an Executor do (`client.failover`), and the next of the list when it
dies; what has ended there is not run again.
"""

import asyncio
import functools
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from covey.client.calls import call_payload
from covey.client.failover import Failover
from covey.client.feed import Entry, Feed, Options, Place, Whole
from covey.client.future import Future
from covey.client.reach import head_files
from covey.client.schedulers import checked_list, running_in
from covey.client.sparrow.draw import DrawnJob, User
from covey.client.sparrow.ran import COUNTED, RanJob
from covey.client.users import users_of_cluster
from covey.errors import CoveyError, NotUp, UsageError
from covey.model.job import JobSpec
from covey.model.phases import unphased
from covey.model.task import OutcomeState
from covey.settings import Settings

#: Longest that it may take to say how many messages there were.
COUNTS_MAX_S = 2.0
#: It is asked again after so long, while it has not heard that our jobs are over.
_AGAIN_S = 0.02


class NamedSchedulers:
    """Makes one for each name under which a scheduler runs, and tells which were lost."""

    def __init__(
        self, settings: Settings, names: Iterable[str], tell: Callable[[str], None]
    ) -> None:
        """tell: hears sentences.

        Raises:
            UsageError: there never was one of some name.
            NotUp: none of them runs.
        """
        self._settings = settings
        self._names = checked_list(settings, names)
        self._tell = tell
        #: Their names.
        self.lost: list[str] = []

    def __call__(self, contexts: dict[str, bytes]) -> list["NamedScheduler"]:
        """See `sparrow.MakeSchedulers`."""
        names, running = self._names, running_in(head_files(self._settings))
        for name in names:
            if name not in running:
                self._tell(f"scheduler {name} does not run: jobs are dealt out to the others")
        return [
            NamedScheduler(names[at:] + names[:at], self._settings, contexts, self._lose)
            for at, name in enumerate(names)
            if name in running
        ]

    def check_users(self, users: Iterable[User]) -> None:
        """Refuse weights that are not those which shared schedulers will give them.

        Raises:
            UsageError: some user has another weight there.
        """
        known = users_of_cluster(self._settings.state_dir)
        for user in users:
            weight = known.of(user.name).weight
            if user.name and user.weight != weight:
                raise UsageError(
                    f"user {user.name} has the weight {weight:g} at shared schedulers, not"
                    f" {user.weight:g}: they take it from [users] of covey.toml"
                )

    def _lose(self, name: str, why: str) -> None:
        # Each of ours that had jobs there says so.
        if name not in self.lost:
            self.lost.append(name)
            self._tell(f"scheduler {name} {why}: what had not ended there goes on at the next")


class NamedScheduler:
    """The first of `names`, which runs; when it dies, the next. Implements `Scheduler`."""

    def __init__(
        self,
        names: tuple[str, ...],
        settings: Settings,
        contexts: dict[str, bytes],
        on_lost: Callable[[str, str], None],
    ) -> None:
        """Use `open`. on_lost: hears which one is left for the next, and why."""
        self.name = names[0]
        self.jobs: dict[int, RanJob] = {}
        self.error: CoveyError | None = None
        self.ended_at = 0.0
        self.changed = asyncio.Event()
        self.agents = self.slots = 0
        self._feed = Feed(Place(settings, False, 0, "", schedulers=names))
        self._feed.contexts = contexts
        self._on_lost = on_lost
        self._is_lost = False
        self._wholes: dict[int, Whole] = {}
        self._numbers = itertools.count(1)
        #: Jobs that were submitted to it, by anybody and by us, when it was asked last.
        self._seen = (0, 0)
        self._submitted = 0

    async def open(self) -> None:
        """See `Scheduler`."""
        self._failover = Failover(self._feed, lambda: None, self._failed, self._lost)
        await self._failover.start()

    async def meet(self, until: float) -> None:
        """See `Scheduler`: it has waited for its agents before others could submit to it."""
        try:
            async with asyncio.timeout(until - time.monotonic()):
                facts = await self._failover.ask(self.name, "probe")
        except TimeoutError:
            raise NotUp(
                f"scheduler {self.name} does not answer: see: covey status", cluster=""
            ) from None
        self.agents, self.slots = int(facts["ready"]), int(facts["slots"])
        if not self.agents:
            raise NotUp(f"scheduler {self.name} has no machine: see: covey status", cluster="")

    async def close(self) -> None:
        """See `Scheduler`."""
        await self._failover.close()

    def submit(self, drawn: DrawnJob, due: float, spec: JobSpec) -> RanJob:
        """See `Scheduler`."""
        number = next(self._numbers)
        self._submitted += 1
        job = self.jobs[number] = RanJob(drawn, due, self.name, number)
        whole = self._wholes[number] = Whole(spec, len(drawn.durations_s))
        options, context = Options(whole=whole), spec.shapes[0].context
        entries: list[Entry] = []
        for task, length in enumerate(drawn.durations_s, 1):
            future: Future[Any] = Future()
            future.add_done_callback(self._refused)
            payload = call_payload((length,), {})
            entries.append(
                (future, options, context, payload, functools.partial(self._ended, number, task))
            )
        self._failover.submit(entries)
        return job

    async def messages(self) -> Counter[str] | None:
        """See `Scheduler`. Not known once it is lost, or where others submitted jobs meanwhile."""
        if self._is_lost:
            return None
        try:
            async with asyncio.timeout(COUNTS_MAX_S):
                facts = await self._failover.ask(self.name, "counts")
                while facts["open"]:
                    await asyncio.sleep(_AGAIN_S)
                    facts = await self._failover.ask(self.name, "counts")
        except (TimeoutError, CoveyError):
            return None
        (all_before, ours_before), jobs = self._seen, int(facts["jobs"])
        self._seen = jobs, self._submitted
        if jobs - all_before != self._submitted - ours_before:
            return None
        counts: dict[str, int] = facts["messages"]
        return Counter({kind: counts[kind] for kind in COUNTED if kind in counts})

    def explain(self) -> str:
        """See `Scheduler`."""
        return f"scheduler {self.name} does not say why, see: covey status"

    # ------------------------------------------------------------ inside

    def _ended(
        self, number: int, task: int, _future: "Future[Any]", report: bytes | None, state: int
    ) -> None:
        job, whole = self.jobs[number], self._wholes[number]
        _, phases = unphased(report or b"")
        if phases is not None:
            job.tasks.append((task, phases))
        job.failed += state != OutcomeState.SUCCEEDED
        self.ended_at = time.monotonic()
        whole.open -= 1
        if not whole.open:
            job.ended = time.time()
            del self.jobs[number], self._wholes[number]
            self.changed.set()

    def _refused(self, future: Any) -> None:
        """Only what will not be run ends its future."""
        error = None if future.cancelled() else future.exception()
        self._failed(error if isinstance(error, CoveyError) else NotUp(_STOPPED, cluster=""))

    def _failed(self, error: CoveyError) -> None:
        self.error = self.error or error
        self.changed.set()

    def _lost(self, name: str, why: str) -> None:
        self._is_lost = True
        self._on_lost(name, why)


_STOPPED = "a scheduler stopped our jobs: see: covey status"
