"""The loop of an Executor: an in-memory scheduler, fed from a queue, that ends futures.

It takes calls out of the queue, some in each turn, and numbers them. No reference to arguments
or results is kept once they are delivered.
"""

import asyncio
import itertools
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from covey.client.accepting import admission_of
from covey.client.calls import result_of
from covey.client.cluster import files_of
from covey.client.connecting import connect
from covey.client.feed import Deliver, Feed, Large, Options
from covey.client.future import Future
from covey.client.private import AGENT
from covey.client.pythons import shape_of_call
from covey.client.waits import Waits
from covey.core.events import Added, AgentKnown, CancelAsked, Event, Opened, PeerGone, Shaped
from covey.core.scheduler import SchedulerCore
from covey.errors import CoveyError, JobRejected, NotUp, StartFailed
from covey.model.job import RetryPolicy
from covey.model.reference import is_reference, make_reference, read_reference
from covey.scheduler.member import Member
from covey.scheduler.service import SchedulerService
from covey.wire.messages import Output

log = logging.getLogger(__name__)

#: How often the members of a cluster are looked for.
MEET_EVERY_S = 1.0
#: The root process of a private executor is replaced this often when it dies.
ROOT_RESTARTS_MAX = 3


def run(live: Callable[[], Coroutine[Any, Any, None]], loaded: Callable[[], None]) -> None:
    """Run the loop of an engine until it ends, on the calling thread.

    live: what runs on it. loaded: called before, when all that it needs has been imported.

    Raises:
        CoveyError: it could not start, or cannot go on.
    """
    try:
        import uvloop
    except ImportError:
        loop_of = asyncio.new_event_loop
    else:
        loop_of = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_of) as runner:
        runner.get_loop()
        loaded()
        runner.run(live())


@dataclass(slots=True)
class _Job:
    """Tasks with the same number of retries; in memory, so its number means nothing to anybody."""

    number: int
    next_task: int
    futures: dict[int, "Future[Any]"]
    payloads: dict[int, bytes]
    shapes: dict[tuple[str, Options], int]


class Dispatcher:
    """Lives on its loop; the engine speaks to it with `call_soon`. Implements `ports.Payloads` and
    `ports.Sink`.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._root = feed.root
        self._queue = feed.queue
        #: digest -> [payload, how many tasks refer to it].
        self._blobs: dict[str, tuple[bytes, int]] = {}
        self._admission = admission_of(feed.place)
        #: What was not accepted when it was looked at last -> why.
        self._refused: dict[tuple[str, Options], JobRejected] = {}
        self._jobs: dict[int, _Job] = {}
        self._job_of: dict[int, _Job] = {}
        self._delivers: dict[tuple[int, int], Deliver] = {}
        self._numbers = itertools.count(1)
        self._waits = Waits()
        self._unfinished = 0
        self._ends_when_idle = False
        self._restarts = 0
        self._revival: asyncio.Task[None] | None = None

    async def live(self, up: Callable[["Dispatcher"], None]) -> None:
        """Connect, serve until the end, disconnect.

        Raises:
            CoveyError: it could not start, or cannot go on.
        """
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        settings = self._feed.place.settings
        if self._root is not None:
            address, space = await self._root.ready(), self._root.space
        else:
            files = files_of(settings)
            address, space = files.address(), files.space(settings.cluster)
        name = f"ex-{os.getpid()}-{secrets.token_hex(6)}"
        bus = await connect(address, name)
        rng = random.Random(secrets.randbits(64))
        core = SchedulerCore(name, secrets.token_hex(16), 1, durable=False, rng=rng)
        self._service = SchedulerService(
            bus=bus, cluster=space, name=name, core=core, sink=self, payloads=self
        )
        await self._service.start()
        if self._root is not None:
            self._service.meet({AGENT: Member(self._root.key)})
            self._root.watch(self._on_serving, self._on_root_death)
        up(self)
        try:
            await self._serve()
        finally:
            await self._service.close()
            await bus.close()

    async def _serve(self) -> None:
        """Until the end; meanwhile, members of the cluster come and go."""
        if self._root is not None:
            await self._end.wait()
            return
        while not self._end.is_set():
            self._meet()
            core = self._service.core
            self._waits.look(core.jobs.values(), core.roster, time.monotonic())
            try:
                async with asyncio.timeout(MEET_EVERY_S):
                    await self._end.wait()
            except TimeoutError:
                continue

    def _meet(self) -> None:
        settings = self._feed.place.settings
        files = files_of(settings)
        if not files.machines():
            raise NotUp(
                f"cluster {settings.cluster} was taken down while tasks were open", cluster=""
            )
        try:
            self._service.meet(files.members())
            # Among new machines there may be one that fits.
            self._refused.clear()
        except (OSError, ValueError) as error:
            # It is just being changed.
            log.debug("members of the cluster cannot be read: %s", error)

    # ------------------------------------------------------------ what the engine says

    def call_soon(self, what: Callable[..., None], *args: Any) -> None:
        """Have a method called on the loop. From any thread; nothing when the loop has ended."""
        try:
            self._loop.call_soon_threadsafe(what, *args)
        except RuntimeError:
            return

    def is_running(self, future: "Future[Any]") -> bool:
        """Whether it was handed to a machine. From any thread."""
        where = future.task
        job = self._service.core.jobs.get(where[0]) if where is not None else None
        return where is not None and job is not None and where[1] in job.running

    def drain(self) -> None:
        """Take what was submitted."""
        events: list[Event] = []
        for entry in self._feed.take(lambda: self.call_soon(self.drain)):
            self._enter(events, *entry)
        for event in events:
            if isinstance(event, Added):
                event.bytes_mean //= event.count
            self._service.handle(event)
        self._look_whether_idle()

    def cancel(self, future: "Future[Any]") -> None:
        """Its caller does not want it any more."""
        if future.task is not None:
            self._service.handle(CancelAsked(future.task[0], [future.task[1]]))

    def cancel_pending(self) -> None:
        """Cancel what has no slot. On this machine as many as it has slots go on, started or just
        about to; in a cluster nobody knows who is about to.
        """
        place = self._feed.place
        left = place.slots if place.is_private else 0
        entered = [future for job in self._jobs.values() for future in job.futures.values()]
        left -= sum(1 for future in entered if self.is_running(future))
        for future in [*entered, *(entry[0] for entry in self._queue)]:
            if not self.is_running(future):
                if left > 0:
                    left -= 1
                else:
                    future.cancel()

    def end_when_idle(self) -> None:
        """End as soon as all tasks have."""
        self._ends_when_idle = True
        self._look_whether_idle()

    def stop(self) -> None:
        """End now. The root process stops what still runs."""
        self._end.set()

    def leave(self, error: CoveyError | None) -> None:
        """The loop has ended: nobody else will end what is still open."""
        for job in self._jobs.values():
            for future in list(job.futures.values()):
                if error is None:
                    future.cancel()
                else:
                    future.deliver(None, error)

    # ------------------------------------------------------------ inside

    def _look_whether_idle(self) -> None:
        if self._ends_when_idle and not self._unfinished and not self._queue:
            self._end.set()

    def _enter(
        self,
        events: list[Event],
        future: "Future[Any]",
        options: Options,
        context: str,
        payload: bytes | Large,
        deliver: Deliver | None,
    ) -> None:
        """Number a call, and add it to the last event if it is of the same kind."""
        if future.done():
            return
        try:
            job = self._job_of.get(options.retries) or self._open(options.retries)
            shape = job.shapes.get((context, options)) or self._shape(job, context, options)
        except JobRejected as error:
            future.deliver(None, error)
            return
        task = job.next_task
        job.next_task = task + 1
        future.task = (job.number, task)
        self._unfinished += 1
        job.futures[task] = future
        sent = payload if isinstance(payload, bytes) else self._set_aside(payload)
        job.payloads[task] = sent
        if deliver is not None:
            self._delivers[job.number, task] = deliver
        last = events[-1] if events else None
        if isinstance(last, Added) and last.job == job.number and last.shape == shape:
            last.count += 1
            last.bytes_mean += len(sent)
        else:
            events.append(Added(job.number, shape, task, 1, len(sent)))

    def _open(self, retries: int) -> _Job:
        retry = RetryPolicy(starts_max=retries + 1)
        spec = self._admission.job(self._feed.place.placing.spec(retry=retry))
        number = next(self._numbers)
        job = _Job(number, 1, {}, {}, {})
        self._job_of[retries] = self._jobs[number] = job
        self._service.handle(Opened(number, spec))
        return job

    def _shape(self, job: _Job, context: str, options: Options) -> int:
        if error := self._refused.get((context, options)):
            raise error
        try:
            terms = self._admission.shape(shape_of_call(self._feed, context, options))
        except JobRejected as error:
            self._refused[context, options] = error
            raise
        number = len(job.shapes) + 1
        job.shapes[context, options] = number
        self._service.handle(Shaped(job.number, number, terms))
        return number

    def _set_aside(self, large: Large) -> bytes:
        _, count = self._blobs.get(large.digest, (b"", 0))
        self._blobs[large.digest] = (large.data, count + 1)
        return make_reference(large.digest, len(large.data))

    def _drop(self, reference: bytes) -> None:
        digest = read_reference(reference)[0]
        data, count = self._blobs.pop(digest, (b"", 0))
        if count > 1:
            self._blobs[digest] = (data, count - 1)

    def _on_serving(self) -> None:
        self._service.handle(AgentKnown(AGENT))

    def _on_root_death(self) -> None:
        if self._root is not None:
            self._replace_root(self._root.complaint)

    def _replace_root(self, why: str) -> None:
        if self._end.is_set():
            return
        self._restarts += 1
        if self._restarts > ROOT_RESTARTS_MAX:
            told = f"the process that runs the tasks died again and again{why and f' ({why})'}"
            self.failed(StartFailed(told))
        else:
            self._revival = self._loop.create_task(self._revive())

    async def _revive(self) -> None:
        assert self._root is not None
        try:
            # On this thread, though it blocks a little: while the interpreter ends, no other one
            # can be started.
            self._root.restart()
            await self._root.ready()
        except CoveyError as error:
            self._replace_root(str(error))
            return
        except Exception as error:  # noqa: BLE001 - nobody else hears of it: all would wait for ever
            self.failed(CoveyError(f"a bug in covey's executor: {error!r}"))
            return
        self._service.handle(PeerGone(AGENT))
        self._root.watch(self._on_serving, self._on_root_death)

    # ------------------------------------------------------------ ports.Payloads, ports.Sink

    def take(self, job: int, ids: list[int]) -> list[bytes]:
        """See `ports.Payloads`."""
        payloads = self._jobs[job].payloads
        return [payloads[task] for task in ids]

    def read(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """See `ports.Payloads`."""
        data = self._feed.contexts.get(digest)
        if data is None and digest in self._blobs:
            data = self._blobs[digest][0]
        return None if data is None else (len(data), data[offset : offset + length])

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """See `ports.Sink`."""
        known = self._jobs[job]
        futures, payloads, delivers = known.futures, known.payloads, self._delivers
        self._unfinished -= len(ids)
        for task, state, report in zip(ids, states, reports, strict=True):
            future = futures.pop(task)
            payload = payloads.pop(task)
            if is_reference(payload):
                self._drop(payload)
            deliver = delivers.pop((job, task), None) if delivers else None
            if deliver is not None:
                deliver(future, report, state)
            elif not future.done():
                future.deliver(*result_of(report, state))
        if self._ends_when_idle:
            self._look_whether_idle()

    def job_ended(self, job: int, state: str) -> None:
        """See `ports.Sink`: jobs of an engine end with it."""

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """See `ports.Sink`."""

    def output(self, message: Output) -> None:
        """See `ports.Sink`: what callables print goes where the program prints."""

    def failed(self, error: CoveyError) -> None:
        """See `ports.Sink`."""
        self._feed.error = error
        self._end.set()
