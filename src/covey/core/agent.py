"""What an agent decides: whom it knows, whom it serves, what it starts, what it gives back.

One agent, many schedulers that know nothing of each other. Here: events, sessions, liveness.
`workbench` does the tasks, `serving` says who gets a free slot, `slots` what runs, `peers` holds
what belongs to one scheduler.

Laws (see also those modules): an attempt is started at most once; what was granted ends in exactly
one outcome of a batch, unless its in-memory scheduler is gone; a batch is kept until it is
recorded; nothing of a scheduler that is gone keeps a slot from the others.
"""

import math
import random
from typing import Any

from covey.core.actions import Action, DropReports, FollowTask, Leave, Send
from covey.core.events import (
    Arrived,
    BusDown,
    BusUp,
    DrainAsked,
    Ended,
    Event,
    Gauged,
    PeerGone,
    Struck,
    Tick,
)
from covey.core.peers import Peer
from covey.core.queueing import FairShare, QueuePolicy
from covey.core.workbench import Workbench
from covey.errors import InvalidTransition
from covey.wire import messages as m

#: An in-memory scheduler that is silent for so long is gone. Long: a client that holds its
#: interpreter lock for seconds must not lose its tasks.
SILENCE_S = 30.0
#: With our own link down for so long, in-memory schedulers are taken for gone.
ORPHAN_AFTER_S = 600.0
#: A loop that was not driven for its pulse and this long has stood still and judges nobody.
STALL_S = 1.0
#: Incarnations of schedulers known to be gone, so that a late copy of their `Hello` raises no
#: ghost.
GONE_MAX = 256


class AgentCore:
    """The decisions of one agent. `handle` takes what happened and says what to do.

    Args:
        agent_id: its name on the bus. incarnation: 128 random bits (hex), new at each start. slots:
        tasks that run at once, numbered from 1. rng: where session ids come from. policy: which
        line is served next; fair shares unless said otherwise.
    """

    def __init__(
        self,
        agent_id: str,
        incarnation: str,
        slots: int,
        rng: random.Random,
        *,
        policy: QueuePolicy | None = None,
    ) -> None:
        self.agent_id = agent_id
        self.incarnation = incarnation
        self._rng = rng
        self._bench = Workbench(slots, policy or FairShare())
        self._peers = self._bench.peers
        #: incarnation of a scheduler that is gone -> the last opening that it asked with
        self._gone: dict[str, int] = {}
        self._down_since: float | None = None
        self._handled_at: float | None = None
        self._has_left = False

    # -- for the service

    def handle(self, event: Event, now: float) -> list[Action]:
        """Decide. The actions are performed in their order.

        Raises:
            InvalidTransition: an event of a scheduler's core.
        """
        bench = self._bench
        bench.out = []
        self._notice_stall(now)
        match event:
            case Arrived():
                self._arrived(event.peer, event.frame, now)
            case Ended():
                bench.ended(event, now)
            case Tick():
                self._tick(now)
            case PeerGone():
                self._peer_gone(event.peer)
            case BusDown() | BusUp():
                self._bus_changed(isinstance(event, BusUp), now)
            case Gauged():
                bench.out += bench.stopping.gauge(event.load1, event.memfree_bytes)
            case Struck():
                bench.struck(event)
            case DrainAsked():
                self._drain(now)
            case _:
                what = f"an agent has no use for {type(event).__name__}"
                raise InvalidTransition(what, state="agent", event=event)
        bench.serve(now)
        if bench.is_draining:
            self._leave_if_done()
        return bench.out

    def expects(self, scheduler: str, frame: m.Frame) -> bool:
        """Whether a sequenced frame would be applied now: no copy, no gap, no other session."""
        peer = self._peers.get(scheduler)
        return peer is not None and peer.link.expects(frame)

    def is_stale(self, scheduler: str, frame: m.Frame) -> bool:
        """Whether a frame says nothing new: of another session or opening, or a copy. It may come
        late, or somebody says it again; it is dropped either way.
        """
        peer = self._peers.get(scheduler)
        message = frame.message
        if not isinstance(message, m.Hello):
            return bool(frame.session) and (peer is None or peer.link.is_old(frame))
        if peer is None or message.incarnation in self._gone:
            return message.opening <= self._gone.get(message.incarnation, -1)
        return (message.term, message.opening) < (peer.term, peer.opening)

    @property
    def wake_at(self) -> float | None:
        """When to come with a `Tick`; None = nothing to wake for."""
        wake_at = min(self._bench.stopping.stuck_at(), self._bench.serving.wake_at())
        for peer in self._peers.values():
            wake_at = min(wake_at, peer.wake_at)
        return wake_at if wake_at < math.inf else None

    def explain(self) -> dict[str, Any]:
        """For `status`: what runs, what waits, and why it waits."""
        return self._bench.explain()

    def _check(self) -> None:
        """The laws, as assertions; tests call it after each event."""
        self._bench.check()

    # -- time

    def _notice_stall(self, now: float) -> None:
        """Who stood still (suspended, stopped) has no right to judge others for their silence."""
        last, self._handled_at = self._handled_at, now
        if last is None or now - last <= STALL_S or not self._peers:
            return
        if now - last > min(peer.pulse_s for peer in self._peers.values()) + STALL_S:
            self._restart_timers(now)

    def _restart_timers(self, now: float) -> None:
        for peer in self._peers.values():
            peer.heard_at = now

    def _bus_changed(self, is_up: bool, now: float) -> None:
        if not is_up:
            if self._down_since is None:
                self._down_since = now
            return
        self._down_since = None
        self._restart_timers(now)
        for peer in self._peers.values():
            self._bench.transmit(peer, peer.link.bus_up(now))

    def _tick(self, now: float) -> None:
        for peer in list(self._peers.values()):
            if not peer.durable and self._is_lost(peer, now):
                self._drop(peer)
                continue
            self._bench.transmit(peer, peer.link.tick(now))
            if now >= peer.pulse_at:
                peer.pulse_at = now + peer.pulse_s
                if self._down_since is None:
                    self._bench.transmit(peer, [peer.link.control(self._heartbeat())])
        self._bench.out += self._bench.stopping.strike_stuck(now)

    def _is_lost(self, peer: Peer, now: float) -> bool:
        if self._down_since is not None:
            return now >= self._down_since + ORPHAN_AFTER_S
        return now >= peer.heard_at + SILENCE_S

    def _heartbeat(self, echo: int = 0) -> m.Heartbeat:
        facts = {"busy": self._bench.slots.busy, "queued": self._bench.queued}
        return m.Heartbeat(echo=echo, facts=facts)

    # -- sessions

    def _arrived(self, name: str, frame: m.Frame, now: float) -> None:
        peer = self._peers.get(name)
        message = frame.message
        if isinstance(message, m.Hello):
            self._hello(name, peer, message, now)
        elif peer is None:
            return
        elif isinstance(message, m.Goodbye):
            if message.incarnation == peer.incarnation:
                self._peer_gone(name)
        elif frame.session == peer.link.session:
            peer.heard_at = now
            peer.is_away = False
            messages, frames = peer.link.arrived(frame, now)
            if frames:
                self._bench.transmit(peer, frames)
            for applied in messages:
                self._apply(peer, applied, now)

    def _hello(self, name: str, peer: Peer | None, hello: m.Hello, now: float) -> None:
        # It may have been taken for gone wrongly (it stood still): then it asks with a new opening.
        if self._has_left or hello.opening <= self._gone.get(hello.incarnation, -1):
            return
        if hello.protocol != m.PROTOCOL:
            reason = f"this agent speaks protocol {m.PROTOCOL}, you speak {hello.protocol}"
            goodbye = m.Goodbye(self.incarnation, reason)
            self._bench.out.append(Send(name, m.Frame(b"", 0, 0, goodbye)))
            return
        if peer is not None and hello.incarnation == peer.incarnation:
            if (hello.term, hello.opening) < (peer.term, peer.opening):
                return
            if (hello.term, hello.opening) == (peer.term, peer.opening):
                self._welcome_again(peer, now)
                return
        elif peer is not None:
            if hello.term < peer.term:
                return
            peer = self._succeeded(peer)
        self._open(name, peer, hello, now)

    def _welcome_again(self, peer: Peer, now: float) -> None:
        peer.heard_at = now
        if peer.welcome is not None:
            self._bench.transmit(peer, [peer.welcome])

    def _succeeded(self, peer: Peer) -> Peer | None:
        """The scheduler was started anew: a durable one takes its tasks over, another has none."""
        if not peer.durable:
            self._drop(peer)
            return None
        self._bury(peer)
        for work in peer.works.values():
            self._bench.set_level(work, 0)
        return peer

    def _open(self, name: str, peer: Peer | None, hello: m.Hello, now: float) -> None:
        bench = self._bench
        session = self._rng.randbytes(16)
        bench.serving.claims.drop(name)
        if peer is None:
            peer = self._peers[name] = Peer(name, hello, session, now)
        else:
            # What gathers here must be in a batch for the Welcome to tell of it.
            peer.cut(0)
            peer.open(hello, session, now)
        for work in peer.works.values():
            # The scheduler's credit went with the old session, so a claim must be made again.
            work.is_dormant = False
            bench.serving.touch(work)
        welcome = m.Welcome(
            opening=hello.opening,
            incarnation=self.incarnation,
            slots=0 if bench.is_draining else bench.slots.count,
            free=bench.room,
            holds=peer.holds(),
            running=peer.running(list(bench.slots.runs.values())),
            unrecorded=peer.unrecorded_attempts(),
            facts={},
        )
        bench.transmit(peer, peer.greet(welcome, now))

    def _peer_gone(self, name: str) -> None:
        peer = self._peers.get(name)
        if peer is None:
            return
        if peer.durable:
            # It comes back: its tasks run on, but it is not asked for more until it is heard.
            peer.is_away = True
        else:
            self._drop(peer)

    def _drop(self, peer: Peer) -> None:
        del self._peers[peer.name]
        self._bury(peer)
        self._bench.abandon(peer)

    def _bury(self, peer: Peer) -> None:
        self._gone[peer.incarnation] = peer.opening
        if len(self._gone) > GONE_MAX:
            del self._gone[next(iter(self._gone))]

    # -- leaving

    def _drain(self, now: float) -> None:
        bench = self._bench
        bench.is_draining = True
        for peer in self._peers.values():
            for work in peer.works.values():
                bench.set_level(work, 0)
            for job in dict.fromkeys(work.job for work in peer.works.values()):
                bench.give_back(peer, job, None)
            load = m.Load(0, bench.queued, bench.slots.busy, is_leaving=True)
            bench.transmit(peer, peer.link.send(load, now))

    def _leave_if_done(self) -> None:
        bench = self._bench
        if self._has_left or bench.slots.runs or any(p.unrecorded for p in self._peers.values()):
            return
        self._has_left = True
        for peer in self._peers.values():
            goodbye = m.Goodbye(self.incarnation, "drained")
            bench.transmit(peer, [peer.link.control(goodbye)])
        bench.out.append(Leave())

    # -- messages

    def _apply(self, peer: Peer, message: m.Message, now: float) -> None:
        bench = self._bench
        match message:
            case m.Grant():
                bench.grant(peer, message, now)
            case m.Recorded():
                bench.out += [
                    DropReports(peer.name, number)
                    for number in message.batches
                    if peer.recorded(number) is not None
                ]
                for job in message.closed:
                    bench.no_task(peer, m.NoTask(job, 0, closed=True), now)
            case m.Enqueue():
                if message.terms is not None:
                    rest = (message.terms, message.name, message.weight, message.is_multi_get)
                    bench.describe(peer, m.Describe(message.job, message.shape, *rest))
                bench.enqueue(peer, message, now)
            case m.NoTask():
                bench.no_task(peer, message, now)
            case m.Describe():
                bench.describe(peer, message)
            case m.Probe():
                load = m.Load(message.job, bench.queued, bench.slots.busy)
                bench.transmit(peer, peer.link.send(load, now))
            case m.Heartbeat(nonce=nonce) if nonce:
                echo = self._heartbeat(echo=nonce)
                bench.transmit(peer, [peer.link.control(echo)])
            case _:
                self._apply_order(peer, message)

    def _apply_order(self, peer: Peer, message: m.Message) -> None:
        bench = self._bench
        match message:
            case m.Withdraw():
                wanted = dict.fromkeys(message.ids, 0) if message.ids else None
                bench.give_back(peer, message.job, wanted)
            case m.Stop():
                bench.stop(peer, message)
            case m.Tail():
                follow = FollowTask(peer.name, message.job, message.id, message.on)
                bench.out.append(follow)
            case _:
                # A pure heartbeat has done its work by arriving; the rest is not for agents.
                return
