"""The loop around AgentCore: frames in, chunks into slots, reports out.

It decides nothing. It holds what the core does not see: payloads and reports (bytes by task
number), contexts and large blobs, the keys of the schedulers that spoke to it.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from covey.agent.follow import FOLLOW_EVERY_S, Followers, Running
from covey.agent.gauges import Gauges
from covey.agent.handle import Chunk as SlotChunk
from covey.agent.parcels import Parcels
from covey.agent.slots import Slots
from covey.bus.loop import Alarm
from covey.bus.peer import Peer
from covey.bus.port import Bus
from covey.core.actions import (
    Action,
    DropPayloads,
    DropReports,
    FollowTask,
    ForgetJob,
    Kill,
    Leave,
    Send,
    Start,
    Strike,
)
from covey.core.agent import AgentCore
from covey.core.events import Arrived, BusDown, BusUp, Ended, Event, Gauged, PeerGone, Struck, Tick
from covey.errors import CoveyError, DecodeError, Forged, Stale
from covey.files.transfer import Fetcher, serve
from covey.model.reference import is_reference, read_reference
from covey.model.task import OutcomeState
from covey.wire.messages import (
    Chunk,
    Fetch,
    Finished,
    Frame,
    Grant,
    Heartbeat,
    Hello,
    Message,
    Welcome,
)
from covey.wire.signing import Context
from covey.wire.subjects import inbox_of_agent, to_agent, to_scheduler

log = logging.getLogger(__name__)

#: Schedulers that an agent remembers keys for.
PEERS_MAX = 1024
#: The machine is gauged this often.
GAUGE_EVERY_S = 1.0


@dataclass(slots=True)
class _Scheduler:
    peer: Peer
    fetcher: Fetcher


@dataclass(frozen=True, slots=True)
class Place:
    """Who and where this agent is."""

    cluster: str
    agent: str
    #: Directory in which tasks without a directory of their own get one each; for people: the
    #: workdir.
    workdir: Path
    #: 0700, local, gone with this process.
    runtime_dir: Path
    #: For people: hostname, python, cpus, where the slots come from … (`Welcome.facts`).
    facts: dict[str, Any]
    #: See `frames.Work`.
    here: str = ""
    #: Where scripts are kept that were sent to be run; "" = below `workdir`.
    cache_dir: str = ""


class AgentService:
    """Performs what an AgentCore decides, over one bus, with real child processes."""

    def __init__(
        self, *, bus: Bus, place: Place, core: AgentCore, key: bytes, slots: Slots
    ) -> None:
        self._bus = bus
        self._place = place
        self.core = core
        self._key = key
        self._slots = slots
        self._loop = asyncio.get_running_loop()
        self._schedulers: dict[str, _Scheduler] = {}
        self._parcels = Parcels(place.runtime_dir / "blobs")
        self._running: dict[int, Running] = {}
        self._followers = Followers(slots.read_output)
        self._gauges = Gauges(place.workdir)
        self._performers: dict[type[Any], Callable[[Any], object]] = {
            Send: self._send,
            Start: self._start,
            Kill: lambda kill: slots.kill(kill.slot, kill.ids),
            DropPayloads: self._parcels.drop_payloads,
            DropReports: self._parcels.drop_batch,
            ForgetJob: self._forget,
            FollowTask: self._followers.change,
            # Not while actions of a list are still to be performed: their frames go first.
            Strike: lambda strike: self._loop.call_soon(self._strike, strike.slot),
            Leave: lambda _: self._left.set(),
        }
        self._alarm = Alarm(self._loop, lambda: self.handle(Tick()))
        self._tasks: set[asyncio.Task[None]] = set()
        self._left = asyncio.Event()
        #: Packets that were not obeyed because their signature is wrong.
        self.forged = 0
        #: Packets that were not obeyed because they are late, or said again.
        self.stale = 0

    async def start(self) -> None:
        """Listen, and keep gauging and following until `close`."""
        # Before the first task: a gate without a gauge is open.
        self._read_gauges()
        await self._bus.listen(
            inbox_of_agent(self._place.cluster, self._place.agent),
            self._on_message,
            lambda peer: self.handle(PeerGone(peer)),
            lambda is_up: self.handle(BusUp() if is_up else BusDown()),
        )
        self._own(self._gauge())
        self._own(self._follow())

    async def left(self) -> None:
        """Return when the core says that the process may end."""
        await self._left.wait()

    async def close(self) -> None:
        """Stop what runs, then our own loops."""
        for task in list(self._tasks):
            task.cancel()
        self._alarm.close()
        for scheduler in self._schedulers.values():
            scheduler.fetcher.close()
        await self._slots.close(1.0)

    def handle(self, event: Event) -> None:
        """Put an event to the core and perform what it answers."""
        for action in self.core.handle(event, time.monotonic()):
            self._perform(action)
        self._alarm.set(self.core.wake_at)

    def on_ended(self, ended: Ended, ids: list[int], reports: list[bytes]) -> None:
        """Tasks of a chunk ended (called by `Slots`)."""
        running = self._running.get(ended.slot)
        if running is None:
            return
        if self._followers:
            self._send_output(running)
        self._parcels.ended(running.start, ended, ids, running.stamp(reports))
        if ended.is_last:
            del self._running[ended.slot]
        self.handle(ended)

    # ------------------------------------------------------------ inbound

    def _on_message(self, sender: str, data: bytes) -> None:
        scheduler = self._schedulers.get(sender) or self._acquaint(sender)
        frame = self._open(sender, scheduler, data)
        if frame is None:
            return
        message = frame.message
        if isinstance(message, Hello):
            # Only a true Hello takes a place: forged ones must not push real schedulers out.
            if sender not in self._schedulers and len(self._schedulers) >= PEERS_MAX:
                self._schedulers.pop(next(iter(self._schedulers)))
            self._schedulers[sender] = scheduler
            if message.term >= scheduler.peer.term:
                scheduler.peer.rebind(message.term)
        elif sender not in self._schedulers:
            return
        elif isinstance(message, Fetch | Chunk):
            if frame.session == scheduler.peer.session:
                self._serve(sender, scheduler, message)
            return
        elif isinstance(message, Grant) and self.core.expects(sender, frame):
            self._parcels.granted(sender, message)
        self.handle(Arrived(sender, frame))

    def _open(self, sender: str, scheduler: _Scheduler, data: bytes) -> Frame | None:
        """The frame in a packet; None: parts are missing, or it is not to be obeyed."""
        try:
            frame = scheduler.peer.open(data)
        except Stale:
            self.stale += 1
            return None
        except (Forged, DecodeError) as error:
            self.forged += 1
            log.warning("a packet from %s was not obeyed: %s", sender, error)
            return None
        if frame is not None:
            self.stale += self.core.is_stale(sender, frame)
        return frame

    def _acquaint(self, sender: str) -> _Scheduler:
        """A scheduler that we do not know yet; it is remembered once it has sent a true `Hello`."""
        place = self._place
        peer = Peer(
            self._bus,
            base_key=self._key,
            context=Context(place.cluster, place.agent, sender, 0),
            directions=("up", "down"),
            subject=to_scheduler(place.cluster, sender, place.agent),
            reply_to=to_agent(place.cluster, place.agent, sender),
        )
        return _Scheduler(peer, Fetcher(lambda ask: _post(peer, ask)))

    def _serve(self, sender: str, scheduler: _Scheduler, message: Fetch | Chunk) -> None:
        if isinstance(message, Chunk):
            self._parcels.offered(message)
            scheduler.fetcher.arrived(message)
        elif self._parcels.is_theirs(sender, message.digest):
            _post(scheduler.peer, serve(message, self._parcels.read_blob))
        else:
            _post(scheduler.peer, Chunk(message.digest, message.offset, -1))

    # ------------------------------------------------------------ actions

    def _perform(self, action: Action) -> None:
        perform = self._performers.get(type(action))
        if perform is not None:
            perform(action)

    def _send(self, action: Send) -> None:
        scheduler = self._schedulers.get(action.to)
        if scheduler is None:
            return
        message = action.frame.message
        if isinstance(message, Finished):
            if len(message.lens) != len(message.ids):
                self._parcels.fill(action.to, message)
        elif isinstance(message, Heartbeat):
            message.facts.update(self._gauges.facts(), forged=self.forged, stale=self.stale)
        elif isinstance(message, Welcome):
            message.facts.update(self._place.facts)
        scheduler.peer.send(action.frame)

    def _strike(self, slot: int) -> None:
        count = self._slots.strike(slot)
        if count:
            self.handle(Struck(slot, count))

    def _forget(self, action: ForgetJob) -> None:
        self._slots.forget(action.scheduler, action.job)
        self._parcels.forget(action)
        self._followers.forget(action)

    # ------------------------------------------------------------ chunks

    def _start(self, start: Start) -> None:
        """Put a chunk into its slot, at once if everything for it is here."""
        self._running[start.slot] = Running(start, time.monotonic())
        payloads = self._parcels.payloads_of(start)
        context = self._parcels.context(start.terms.context)
        if context is not None and not any(map(is_reference, payloads)):
            self._slots.start(self._chunk(start, payloads, context))
        else:
            self._own(self._gather_and_start(start, payloads))

    async def _gather_and_start(self, start: Start, payloads: list[bytes]) -> None:
        fetcher = self._schedulers[start.scheduler].fetcher
        try:
            context = self._parcels.context(start.terms.context)
            if context is None:
                context = await fetcher.get(start.terms.context)
                self._parcels.keep_context(start.terms.context, context)
            whole = [
                await fetcher.get(read_reference(piece)[0]) if is_reference(piece) else piece
                for piece in payloads
            ]
        except CoveyError as error:
            log.warning("job %d: what its tasks need did not arrive: %s", start.job, error)
            count = len(start.ids)
            states = [int(OutcomeState.RETURNED)] * count
            self.on_ended(Ended(start.slot, states, 0.0, is_last=True), start.ids, [b""] * count)
            return
        self._slots.start(self._chunk(start, whole, context))

    def _chunk(self, start: Start, payloads: list[bytes], context: bytes) -> SlotChunk:
        return SlotChunk(
            slot=start.slot,
            kind=start.terms.kind,
            scheduler=start.scheduler,
            job=start.job,
            ids=start.ids,
            ns=start.ns,
            payloads=payloads,
            context=context,
            context_digest=start.terms.context,
            terms=start.terms,
            time_limit_s=start.time_limit_s,
            env={"COVEY_JOB_ID": str(start.job), "COVEY_MACHINE": self._place.agent},
            workdir=str(self._place.workdir),
            here=self._place.here,
            cache_dir=self._place.cache_dir,
        )

    # ------------------------------------------------------------ own loops

    async def _gauge(self) -> None:
        while True:
            await asyncio.sleep(GAUGE_EVERY_S)
            if self._slots.is_broken:
                log.error("children cannot be started any more")
                self._left.set()
            self._read_gauges()

    def _read_gauges(self) -> None:
        facts = self._gauges.read()
        self.handle(Gauged(cast(float, facts["load1"]), cast(int, facts["mem_free"])))

    async def _follow(self) -> None:
        while True:
            await self._followers.are_there.wait()
            await asyncio.sleep(FOLLOW_EVERY_S)
            if self._followers:
                for running in list(self._running.values()):
                    self._send_output(running)

    def _send_output(self, running: Running) -> None:
        scheduler = self._schedulers.get(running.start.scheduler)
        if scheduler is not None:
            for news in self._followers.news(running):
                _post(scheduler.peer, news)

    def _own(self, coroutine: Any) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._disown)

    def _disown(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("the agent cannot go on", exc_info=task.exception())
            self._left.set()


def _post(peer: Peer, message: Message) -> None:
    if peer.session:
        peer.send(Frame(peer.session, 0, 0, message))
