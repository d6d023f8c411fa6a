"""What an engine and its dispatcher share: calls on their way from threads to the loop."""

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from covey.client.functions import Functions
from covey.client.future import Future
from covey.client.private import PrivateRoot
from covey.errors import CoveyError
from covey.model.job import JobSpec
from covey.model.policy import DEFAULT_POLICY, DEFAULT_PROBE_RATIO
from covey.settings import Settings


@dataclass(eq=False, slots=True)
class Whole:
    """Calls that are a job of their own, all of them known when the first is submitted.

    None of them is cancelled. `covey sparrow` submits so to shared schedulers.
    """

    #: With its one shape, whose context the feed has.
    spec: JobSpec
    #: Calls that have not ended.
    open: int


@dataclass(frozen=True, slots=True)
class Options:
    """How tasks run (`Executor.with_options`)."""

    #: Slots that one task takes.
    cpus: int = 1
    #: Starts after the first that failed.
    retries: int = 0
    #: Seconds that a task may run; 0 = as long as it takes.
    time_limit_s: float = 0.0
    #: Larger is more urgent.
    priority: int = 0
    #: Only on machines with all of these labels, only on these machines, never on those (a name or
    #: @label): see `model.constraint`. () = anywhere.
    labels: tuple[str, ...] = ()
    machines: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    #: At most one such task at once on one machine.
    is_spread: bool = False
    #: May stop what is less urgent, where no slot is free.
    may_preempt: bool = False
    #: What no machine may ever run waits for one that may.
    waits_for_machines: bool = False
    #: These calls are a job with others of theirs; None = of the executor.
    whole: Whole | None = None


@dataclass(frozen=True, slots=True)
class Placing:
    """How the tasks of an executor find their machines, and whose they are."""

    policy: str = DEFAULT_POLICY
    probe_ratio: float = DEFAULT_PROBE_RATIO
    has_cancellation: bool = True
    user: str = ""

    def spec(self, **fields: Any) -> JobSpec:
        """A job of it."""
        return JobSpec(
            user=self.user,
            policy=self.policy,
            probe_ratio=self.probe_ratio,
            has_cancellation=self.has_cancellation,
            **fields,
        )


#: Calls taken out of the queue in one turn of the loop.
SUBMIT_MAX = 2000

#: (futures in flight) -> "relaunch" or "partial"
OnFailover = Callable[[list[Any]], str]


@dataclass(frozen=True, slots=True)
class Place:
    """Where an executor works: private to it (with so many slots), or in the cluster that is up."""

    settings: Settings
    is_private: bool
    slots: int
    slots_from: str
    #: The head runs it as one job, which outlives the program.
    is_durable: bool = False
    #: Shared schedulers, by name: they run it, one at a time. () = not they.
    schedulers: tuple[str, ...] = ()
    #: Says what is to become of the calls in flight when one of them dies; None = relaunch.
    on_failover: OnFailover | None = None
    placing: Placing = Placing()
    #: Calls that may be out at once, however many slots there are; 0 = as many as there are.
    at_once: int = 0


#: What gets the report of a task instead of its future, on the loop: (future, report, state).
Deliver = Callable[["Future[Any]", bytes | None, int], None]


@dataclass(frozen=True, slots=True)
class Large:
    """A payload that does not ride in messages. Hashed by the thread that submits it."""

    data: bytes
    digest: str


#: (future, options, context's digest, payload, deliver)
Entry = tuple["Future[Any]", Options, str, bytes | Large, Deliver | None]


class Feed:
    """Filled by any thread, emptied by the dispatcher."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.pid = os.getpid()
        self.queue: deque[Entry] = deque()
        #: The dispatcher has been told that something is in the queue.
        self.is_woken = False
        #: By digest.
        self.contexts: dict[str, bytes] = {}
        self.functions = Functions(self.contexts, travels=not place.is_private)
        #: Of a durable executor: its job; and whether it is asked for before the first call.
        self.number: Future[int] = Future()
        self.wants_number = False
        #: Why nothing can be run any more.
        self.error: CoveyError | None = None
        #: The root process; None = the agents of a cluster run the tasks.
        self.root: PrivateRoot | None = None
        self._come_again: Callable[[], object] | None = None
        #: With `Place.at_once`: calls that were taken and have not ended, and an entry for each
        #: that ended since the last turn.
        self._out = 0
        self._back: deque[None] = deque()

    def take(self, come_again: Callable[[], object]) -> Iterator[Entry]:
        """What was submitted, as much as one turn of the loop may take; on the loop.

        One by one: each call is let go of before the next is taken.

        come_again: has the loop take another turn soon, from any thread; called at the end, if
            more may be taken, and when a call ended that others wait for.
        """
        queue = self.queue
        # Before the first is taken: whoever submits from now on wakes the loop again.
        self.is_woken = False
        room = SUBMIT_MAX
        if limit := self.place.at_once:
            self._come_again = come_again
            while self._back:
                self._back.popleft()
                self._out -= 1
            room = limit - self._out
        for _ in range(min(SUBMIT_MAX, len(queue), room)):
            entry = queue.popleft()
            if limit:
                self._out += 1
                entry[0].add_done_callback(self._came_back)
            yield entry
        if queue and not (limit and self._out >= limit) and not self.is_woken:
            self.is_woken = True
            come_again()

    def _came_back(self, _: object) -> None:
        """A call ended; in any thread."""
        self._back.append(None)
        if self.queue and self._come_again is not None and not self.is_woken:
            self.is_woken = True
            self._come_again()
