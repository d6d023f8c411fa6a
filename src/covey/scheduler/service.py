"""The loop around SchedulerCore: frames in, actions performed, records made durable first.

It decides nothing. It holds what cores do not see: payloads and reports (bytes by task number),
blobs, keys, timers. One instance belongs to one event loop; the same class serves inside a client
(in memory, or with the ledger of a private run) and in the head.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

from covey.bus.loop import Alarm
from covey.bus.peer import Peer
from covey.bus.port import Bus
from covey.core.actions import (
    Action,
    AgentChanged,
    Barrier,
    JobEnded,
    Record,
    RecordAttempts,
    RecordJob,
    Resolve,
    Send,
)
from covey.core.events import (
    AgentDraining,
    AgentForgotten,
    AgentKnown,
    Arrived,
    BusDown,
    BusUp,
    Confirm,
    Event,
    PeerGone,
    Tick,
)
from covey.core.scheduler import SchedulerCore
from covey.errors import CoveyError, DecodeError, Forged, Stale
from covey.files.transfer import serve
from covey.model.reference import is_reference, read_reference
from covey.scheduler.acquaintance import Acquaintance, acquainted
from covey.scheduler.member import Member
from covey.scheduler.ports import Payloads, Recorder, Sink
from covey.scheduler.tracing import Tracing
from covey.settings import INLINE_MAX_BYTES
from covey.wire.codec import cut
from covey.wire.messages import (
    Chunk,
    Describe,
    Enqueue,
    Fetch,
    Finished,
    Frame,
    Grant,
    Heartbeat,
    Message,
    Output,
    Welcome,
)
from covey.wire.signing import Context
from covey.wire.subjects import inbox_of_scheduler, to_agent, to_scheduler

log = logging.getLogger(__name__)

#: Seconds that a leaving scheduler gives its last messages.
GOODBYE_FLUSH_S = 1.0


class SchedulerService:
    """Performs what a SchedulerCore decides, over one bus.

    Agents come and go with `meet`. recorder None = an in-memory scheduler: its records are
    performed at once. on_stranger hears packets of senders that are no agents (clients of a head);
    on_gone, of everybody, that nobody listens there.
    tracing: where the phase times of traced jobs are kept, for who records them.
    """

    def __init__(
        self,
        *,
        bus: Bus,
        cluster: str,
        name: str,
        core: SchedulerCore,
        sink: Sink,
        payloads: Payloads,
        recorder: Recorder | None = None,
        on_stranger: Callable[[str, bytes], None] | None = None,
        on_gone: Callable[[str], None] = lambda _: None,
        tracing: Tracing | None = None,
    ) -> None:
        self._bus = bus
        self._cluster = cluster
        self._name = name
        self.core = core
        self._sink = sink
        self._payloads = payloads
        self._recorder = recorder
        self._on_stranger = on_stranger
        self._on_gone = on_gone
        self._tracing = tracing or Tracing()
        self._agents: dict[str, Acquaintance] = {}
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._loop, lambda: self.handle(Tick()))
        self._is_closed = False
        #: Packets that were not obeyed because their signature is wrong.
        self.forged = 0
        #: Packets that were not obeyed because they are late, or said again.
        self.stale = 0

    async def start(self) -> None:
        """Listen on our inbound subject."""
        await self._bus.listen(
            inbox_of_scheduler(self._cluster, self._name),
            self._on_message,
            self._gone,
            lambda is_up: self.handle(BusUp() if is_up else BusDown()),
        )

    def meet(self, members: Mapping[str, Member]) -> None:
        """These are the agents: new ones are asked for a session, gone ones dropped, and the core
        hears what changed.
        """
        peers = self.core.roster.peers
        for name, member in members.items():
            is_new = name not in self._agents
            if is_new:
                self._agents[name] = self._acquaint(name, member.key)
            if is_new or peers[name].labels != member.labels:
                self.handle(AgentKnown(name, member.is_far, member.labels))
            if name in peers and peers[name].is_draining is not member.is_draining:
                self.handle(AgentDraining(name, member.is_draining))
        for name in [known for known in self._agents if known not in members]:
            self.handle(AgentForgotten(name))
            self._agents.pop(name).fetcher.close()

    def greet(self, name: str) -> None:
        """Somebody waits for this agent: ask it for a session now."""
        peer = self.core.roster.peers.get(name)
        if peer is not None and peer.link is None:
            self.handle(AgentKnown(name, peer.is_far, peer.labels))

    def facts(self, agent: str) -> dict[str, Any]:
        """What the agent last said of itself and its machine, for `status`."""
        return self._agents[agent].facts if agent in self._agents else {}

    def ping(self) -> None:
        """Measure the round trip to every agent now (`Peer.rtt_s` of the core's roster)."""
        self._perform(self.core.ping_all(time.monotonic()), None)
        self._alarm.set(self.core.wake_at)

    def handle(self, event: Event) -> None:
        """Put an event to the core and perform what it answers."""
        self._tracing.heard(event)
        self._hear(event, None)

    async def close(self) -> None:
        """Say goodbye to the agents (they stop our tasks, if we are in memory) and stop."""
        if self._is_closed:
            return
        self._is_closed = True
        self._alarm.close()
        for action in self.core.farewell():
            if isinstance(action, Send):
                self._transmit(action.to, action.frame)
        for agent in self._agents.values():
            agent.fetcher.close()
        try:
            await self._bus.flush(GOODBYE_FLUSH_S)
        except CoveyError as error:
            log.debug("goodbye may not have arrived: %s", error)

    # ------------------------------------------------------------ inbound

    def _gone(self, name: str) -> None:
        self.handle(PeerGone(name))
        self._on_gone(name)

    def _on_message(self, sender: str, data: bytes) -> None:
        agent = self._agents.get(sender)
        if agent is None:
            if self._on_stranger is not None:
                self._on_stranger(sender, data)
            return
        try:
            frame = agent.peer.open(data)
        except Stale:
            self.stale += 1
            return
        except (Forged, DecodeError) as error:
            self.forged += 1
            log.warning("a packet from %s was not obeyed: %s", sender, error)
            return
        if frame is not None:
            self.stale += self.core.is_stale(sender, frame)
            self._receive(sender, agent, frame)

    def _receive(self, sender: str, agent: Acquaintance, frame: Frame) -> None:
        message = frame.message
        kind = type(message)
        if kind in (Fetch, Chunk, Output):
            if frame.session == agent.peer.session:
                self._serve(agent, message)
            return
        if isinstance(message, (Heartbeat, Welcome)):
            agent.facts.update(message.facts)
        if not isinstance(message, Finished):
            self._hear(Arrived(sender, frame), None)
        elif agent.held is None:
            reports = cut(message.body, message.lens)
            if not self._wants_blobs(sender, agent, frame, reports):
                self._hear(Arrived(sender, frame), reports)

    def _serve(self, agent: Acquaintance, message: Message) -> None:
        if isinstance(message, Chunk):
            agent.fetcher.arrived(message)
        elif isinstance(message, Output):
            self._sink.output(message)
        elif isinstance(message, Fetch):
            if agent.may_fetch(message.digest):
                answer = serve(message, self._payloads.read)
            else:
                answer = Chunk(message.digest, message.offset, -1)
            agent.peer.send(Frame(agent.peer.session, 0, 0, answer))

    def _wants_blobs(
        self, sender: str, agent: Acquaintance, frame: Frame, reports: list[bytes]
    ) -> bool:
        """Whether large reports must be fetched first; then the frame is held until they are
        here.
        """
        digests = [read_reference(piece)[0] for piece in reports if is_reference(piece)]
        if not digests:
            return False
        agent.held = frame
        gathered = asyncio.gather(
            *(agent.fetcher.get(digest) for digest in digests), return_exceptions=True
        )

        def arrived(done: asyncio.Future[list[bytes | BaseException]]) -> None:
            agent.held = None
            if self._is_closed or done.cancelled():
                return
            blobs = dict(zip(digests, done.result(), strict=True))
            if any(isinstance(blob, BaseException) for blob in blobs.values()):
                log.warning("reports of %s did not arrive; they will be asked for again", sender)
                return
            whole = [
                cast(bytes, blobs[read_reference(piece)[0]]) if is_reference(piece) else piece
                for piece in reports
            ]
            self._hear(Arrived(sender, frame), whole)

        gathered.add_done_callback(arrived)
        return True

    def _hear(self, event: Event, reports: list[bytes] | None) -> None:
        """Handle what came from a peer, with the reports of a `Finished` at hand meanwhile."""
        if self._is_closed:
            return
        known: dict[int, bytes] | None = None
        if reports is not None:
            event = cast(Arrived, event)
            message = cast(Finished, event.frame.message)
            if message.job in self._tracing.jobs:
                reports = self._tracing.came(event.peer, message, reports)
            known = dict(zip(message.ids, reports, strict=False))
        try:
            actions = self.core.handle(event, time.monotonic())
            if actions:
                self._perform(actions, known)
        except Exception as error:  # noqa: BLE001 - the top of the loop: a bug must not pass unseen
            self._fail(error)
        self._alarm.set(self.core.wake_at)

    # ------------------------------------------------------------ actions

    def _perform(self, actions: list[Action], reports: dict[int, bytes] | None) -> None:
        """Perform a list in its order; what stands behind a barrier waits for it.

        All barriers of a list are handed over at once: lists that come later must not overtake
        them.
        """
        if self._recorder is not None:
            marks = [i for i, action in enumerate(actions) if isinstance(action, Barrier)]
            if marks:
                for begin, end in itertools.pairwise([*marks, len(actions)]):
                    self._record(actions[begin], actions[begin + 1 : end], reports)
                actions = actions[: marks[0]]
        for action in actions:
            self._perform_one(action, reports)

    def _perform_one(self, action: Action, reports: dict[int, bytes] | None) -> None:
        if isinstance(action, Send):
            self._transmit(action.to, action.frame)
        elif isinstance(action, Resolve):
            known = reports or {}
            found = [known.get(task) for task in action.ids]
            self._sink.resolved(action.job, action.ids, action.states, found)
        elif isinstance(action, Confirm):
            self._perform(self.core.handle(action, time.monotonic()), None)
        elif isinstance(action, JobEnded):
            self._sink.job_ended(action.job, action.state)
            self._tracing.forget(action.job)
        elif isinstance(action, AgentChanged):
            self._sink.agent_changed(action.agent, action.state, action.reason)

    def _record(
        self, barrier: Action, behind: list[Action], reports: dict[int, bytes] | None
    ) -> None:
        assert self._recorder is not None

        def then() -> None:
            if self._is_closed:
                return
            try:
                for action in behind:
                    self._perform_one(action, reports)
            except Exception as error:  # noqa: BLE001 - as in `handle`
                self._fail(error)
            self._alarm.set(self.core.wake_at)

        if isinstance(barrier, RecordJob):
            self._recorder.job_state(barrier, then)
        elif isinstance(barrier, Record | RecordAttempts):
            known = reports or {}
            found = [known.get(task) for task in barrier.ids]
            if isinstance(barrier, Record):
                self._recorder.outcomes(barrier, found, then)
            else:
                self._recorder.attempts(barrier, found, then)

    def _transmit(self, to: str, frame: Frame) -> None:
        agent = self._agents.get(to)
        if agent is None:
            return
        message = frame.message
        if isinstance(message, Grant):
            if len(message.lens) != len(message.ids):
                self._fill(agent, message)
                self._tracing.granted(to, message)
        elif isinstance(message, Enqueue):
            self._tracing.reserved(to, message)
            if message.terms is not None:
                self._send_context(agent, frame, message.terms.context)
        elif isinstance(message, Describe):
            self._send_context(agent, frame, message.terms.context)
        agent.peer.send(frame)

    def _fill(self, agent: Acquaintance, grant: Grant) -> None:
        pieces = self._payloads.take(grant.job, grant.ids)
        agent.name_payloads(pieces)
        grant.lens = [len(piece) for piece in pieces]
        grant.body = b"".join(pieces)

    def _send_context(self, agent: Acquaintance, frame: Frame, digest: str) -> None:
        """A small context goes ahead of the description that names it; larger ones are fetched."""
        if not digest or not agent.name_context(digest, frame.session):
            return
        found = self._payloads.read(digest, 0, INLINE_MAX_BYTES)
        if found is not None and found[0] <= INLINE_MAX_BYTES:
            agent.peer.send(Frame(frame.session, 0, 0, Chunk(digest, 0, found[0], found[1])))

    def _acquaint(self, name: str, key: bytes) -> Acquaintance:
        peer = Peer(
            self._bus,
            base_key=key,
            context=Context(self._cluster, name, self._name, self.core.term),
            directions=("down", "up"),
            subject=to_agent(self._cluster, name, self._name),
            reply_to=to_scheduler(self._cluster, self._name, name),
        )
        return acquainted(peer)

    def _fail(self, error: Exception) -> None:
        log.error("the scheduler cannot go on", exc_info=error)
        self._is_closed = True
        self._alarm.close()
        known = error if isinstance(error, CoveyError) else None
        self._sink.failed(known or CoveyError(f"a bug in covey's scheduler: {error!r}"))
