"""The agents that a scheduler knows: their sessions, and who is judged silent.

An agent is asked for a session (`Hello`, each second) until its `Welcome` comes; whenever it is
judged unreachable, lost, or in a session that we do not know, it is asked anew under the next
`opening`, and every frame of the old session is dropped. That is the only way back there is.

Silence is judged on our own proven time only: not while our bus link is down, not after our own
loop stood still, and not when most agents fall silent at once (then the fault is here).
"""

from collections.abc import Iterator

from covey.core.actions import AgentChanged, Send
from covey.core.agents import JOINING_MAX_S
from covey.core.agents import AgentState as AgentState
from covey.core.agents import Peer as Peer
from covey.core.census import Census
from covey.core.link import Link
from covey.core.offers import Offers
from covey.core.outbox import Outbox
from covey.core.timers import Timers
from covey.wire.messages import (
    PROTOCOL,
    Describe,
    Frame,
    Goodbye,
    Heartbeat,
    Hello,
    Message,
    Recorded,
    Tail,
    Welcome,
)

#: Seconds between two requests for a session.
HELLO_EVERY_S = 1.0
#: The same for an agent that left: its successor may have the same name.
HELLO_LEFT_EVERY_S = 5.0
#: Seconds that what is not urgent gathers, and that it waits for a message to go along with.
RIDE_MIN_S, RIDE_MAX_S = 0.05, 0.1
#: Seconds of silence after which an agent is unreachable.
UNREACHABLE_AFTER_S = 3.0
#: Seconds unreachable after which an agent is lost.
ORPHAN_AFTER_S = 600.0
#: With so many agents in session, more than half falling silent within a pulse is our own fault.
DOUBT_AGENTS_MIN = 4
#: Seconds that such a doubt lasts.
DOUBT_S = 10.0
#: Openings are numbered apart for each term of a scheduler.
OPENINGS_PER_TERM = 1_000_000
#: Pulses between two measurements of the round trip.
PING_PULSES = 5


class Roster:
    """All agents of a scheduler. `hello` is the template of what they are asked with."""

    def __init__(self, hello: Hello, outbox: Outbox, timers: Timers) -> None:
        self.peers: dict[str, Peer] = {}
        self.census = Census(self.peers)
        self.offers = Offers()
        #: Kind of message -> how many were said or heard in sessions.
        self.counts: dict[type[Message], int] = {}
        self.is_bus_up = True
        #: Agents whose session is over since the core last looked: what they were asked is void.
        self.dropped: list[Peer] = []
        #: An agent went out of reach, or joins, since the core last looked.
        self.is_fewer = False
        self._hello = hello
        self._outbox = outbox
        self._timers = timers
        self._pulses = 0
        self._nonce = 0
        self._doubt_until: float | None = None

    @property
    def ready(self) -> list[str]:
        """Agents in session."""
        return self.census.ready

    # -- who is asked

    def know(self, name: str, now: float) -> None:
        """Ask this agent for a session until it answers."""
        peer = self.peers.get(name)
        if peer is None:
            peer = self.peers[name] = Peer(name, since=now)
            self._timers.wake_by(("pulse", ""), now + self._hello.pulse_s)
            self._timers.wake_by(("joining", ""), now + JOINING_MAX_S)
        elif peer.state is not AgentState.LEFT:
            self.say_hello(peer, now)
            return
        peer.is_wanted = True
        self._become(peer, AgentState.JOINING, "", now)
        self.ask(peer, now)

    def ask(self, peer: Peer, now: float) -> None:
        """Drop the session, if any, and ask for a new one."""
        self._drop_session(peer)
        # Not from 1 in each incarnation: an answer to our predecessor must not look like ours.
        peer.opening = max(peer.opening, self._hello.term * OPENINGS_PER_TERM) + 1
        self.say_hello(peer, now)

    def drain(self, peer: Peer, now: float, *, on: bool) -> None:
        """The agent is given no more, or takes work again."""
        if peer.is_draining is on:
            return
        peer.is_draining = on
        self.census.changed()
        if peer.is_ready:
            peer.since = now
            self._outbox.now(AgentChanged(peer.name, peer.word))

    def say_hello(self, peer: Peer, now: float) -> None:
        """Repeat the request for a session, if there is none."""
        if peer.link is not None or not peer.is_wanted:
            return
        every_s = HELLO_LEFT_EVERY_S if peer.state is AgentState.LEFT else HELLO_EVERY_S
        self._timers.wake_by(("hello", peer.name), now + every_s)
        if self.is_bus_up:
            ours = self._hello
            hello = Hello(
                peer.opening, ours.term, ours.incarnation, ours.durable, ours.pulse_s, ours.protocol
            )
            self._outbox.now(Send(peer.name, Frame(b"", 0, 0, hello)))

    def leave(self, peer: Peer, reason: str, now: float, *, is_wanted: bool) -> None:
        """The agent left. `is_wanted`: its successor of the same name is asked for a session."""
        peer.is_wanted = is_wanted
        self._drop_session(peer)
        peer.opening += 1
        self._become(peer, AgentState.LEFT, reason, now)
        if is_wanted:
            self._timers.wake_by(("hello", peer.name), now + HELLO_LEFT_EVERY_S)

    def lose(self, peer: Peer, reason: str, now: float) -> None:
        """The agent is known dead; it is asked for a session all the same."""
        self._become(peer, AgentState.LOST, reason, now)
        self.ask(peer, now)

    def silent(self, peer: Peer, now: float) -> None:
        """The agent is judged unreachable."""
        self._become(peer, AgentState.UNREACHABLE, f"silent for {now - peer.heard:.1f} s", now)
        self.ask(peer, now)

    # -- what is said

    def send(self, peer: Peer, message: Message, now: float) -> None:
        """Say something in the session; without one nothing is said."""
        link = peer.link
        if link is None:
            return
        if peer.rider is not None and now >= peer.ride_at:
            self.flush_rider(peer, now)
        self.counts[type(message)] = self.counts.get(type(message), 0) + 1
        for frame in link.send(message, now):
            self._outbox.now(Send(peer.name, frame))
        self._timers.wake_by(("link", peer.name), link.wake_at)

    def send_along(self, peer: Peer, said: Recorded, now: float) -> None:
        """Say something together with what is said after RIDE_MIN_S, RIDE_MAX_S from now at the
        latest: to wake an agent costs it more than a message does.
        """
        if peer.link is None:
            return
        if peer.rider is None:
            peer.rider = Recorded([], [])
            peer.ride_at = now + RIDE_MIN_S
            self._timers.wake_by(("ride", peer.name), now + RIDE_MAX_S)
        peer.rider.batches += said.batches
        peer.rider.closed += said.closed

    def flush_rider(self, peer: Peer, now: float) -> None:
        """Say what waits for company."""
        if peer.rider is not None:
            rider, peer.rider = peer.rider, None
            self.send(peer, rider, now)

    def control(self, peer: Peer, message: Message) -> None:
        """Say something that may be lost or doubled."""
        if peer.link is not None and self.is_bus_up:
            self._outbox.now(Send(peer.name, peer.link.control(message)))

    def describe(self, peer: Peer, terms: Describe, is_followed: bool, now: float) -> None:
        """Tell what a shape needs, once per session; a followed job's output is asked for too."""
        key = (terms.job, terms.shape)
        if key in peer.described:
            return
        self.offers.tell(peer, key)
        self.send(peer, terms, now)
        if is_followed:
            self.send(peer, Tail(terms.job, 0, True), now)

    def farewell(self) -> None:
        """Tell every agent that this scheduler leaves for good."""
        for peer in self.peers.values():
            self.control(peer, Goodbye(self._hello.incarnation))

    def ping(self, peer: Peer, now: float) -> None:
        """Send a heartbeat that is answered at once."""
        self._nonce += 1
        peer.nonce = self._nonce
        peer.pinged_at = now
        self.control(peer, Heartbeat(nonce=self._nonce))

    # -- what is heard

    def arrived(self, peer: Peer, frame: Frame, now: float) -> list[Message]:
        """Take a frame; returns what is to be applied, in order, each once.

        A `Welcome` among it is the first message of a new session.
        """
        link = peer.link
        if link is None or frame.session != link.session:
            return self._strange(peer, frame, now)
        peer.heard = now
        messages, frames = link.arrived(frame, now)
        for out in frames:
            self._outbox.now(Send(peer.name, out))
        self._timers.wake_by(("link", peer.name), link.wake_at)
        if messages and isinstance(messages[0], Heartbeat):
            self._heartbeat(peer, messages[0], now)
            return []
        return messages

    def welcomed(self, peer: Peer, welcome: Welcome, now: float) -> None:
        """The session is reconciled: the agent is ready."""
        peer.incarnation = welcome.incarnation
        peer.slots = welcome.slots
        peer.free = welcome.free
        peer.facts = dict(welcome.facts)
        peer.out = sum(len(ids) for _, _, ids, _ in (*welcome.running, *welcome.unrecorded))
        self.census.heard_busy(peer, max(0, welcome.slots - welcome.free))
        for job, shape, count in welcome.holds:
            self.offers.put(peer, (job, shape), count)
            self.offers.know(peer, job)
        self._become(peer, AgentState.READY, "", now)
        self.ping(peer, now)

    def tick_link(self, peer: Peer, now: float) -> None:
        """Repeat what was not acknowledged."""
        if peer.link is None:
            return
        for frame in peer.link.tick(now):
            self._outbox.now(Send(peer.name, frame))
        self._timers.wake_by(("link", peer.name), peer.link.wake_at)

    # -- time

    def pulse(self, now: float) -> None:
        """Tell every agent in session that we are alive; now and then measure the round trip."""
        self._pulses += 1
        for peer in self.peers.values():
            if peer.link is None:
                continue
            if self._pulses % PING_PULSES == 0:
                self.ping(peer, now)
            else:
                self.control(peer, Heartbeat())
        self._timers.wake_by(("pulse", ""), now + self._hello.pulse_s)
        self._timers.wake_by(("silence", ""), now)

    def judge(self, now: float) -> list[Peer]:
        """The agents that must be taken for unreachable now."""
        ready = [peer for peer in self._in_session() if peer.is_ready]
        silent = [peer for peer in ready if now >= peer.heard + UNREACHABLE_AFTER_S]
        if not self.is_bus_up or not ready:
            return []
        if not silent:
            self._doubt_until = None
        elif self._is_doubted(ready, now):
            self._timers.wake_by(("silence", ""), self._doubt_until)
            return []
        else:
            return silent
        first = min(peer.heard for peer in ready)
        self._timers.wake_by(("silence", ""), first + UNREACHABLE_AFTER_S)
        return []

    def restart_clocks(self, lost_s: float, now: float) -> None:
        """We were deaf or stood still for `lost_s`: nobody was silent in that time."""
        self._doubt_until = None
        for peer in self.peers.values():
            peer.heard = now if peer.is_ready else peer.heard + lost_s
            if not peer.is_ready:
                peer.since += lost_s

    def bus_up(self, now: float) -> None:
        """Our link is back: what was not acknowledged goes again."""
        for peer in self._in_session():
            assert peer.link is not None
            for frame in peer.link.bus_up(now):
                self._outbox.now(Send(peer.name, frame))
            self._timers.wake_by(("link", peer.name), peer.link.wake_at)
        for peer in self.peers.values():
            self.say_hello(peer, now)

    def check(self) -> None:
        """Assert what must hold between states and sessions."""
        for peer in self.peers.values():
            assert peer.is_ready == (peer.link is not None), f"{peer.name} is {peer.state}"
        self.census.check()
        self.offers.check(self.peers.values())

    def _in_session(self) -> Iterator[Peer]:
        return (peer for peer in self.peers.values() if peer.link is not None)

    def _is_doubted(self, ready: list[Peer], now: float) -> bool:
        if self._doubt_until is not None:
            return now < self._doubt_until
        nearly_s = UNREACHABLE_AFTER_S - self._hello.pulse_s
        late = sum(1 for peer in ready if now >= peer.heard + nearly_s)
        if len(ready) < DOUBT_AGENTS_MIN or late * 2 <= len(ready):
            return False
        self._doubt_until = now + DOUBT_S
        return True

    def _drop_session(self, peer: Peer) -> None:
        if peer.link is not None:
            self.dropped.append(peer)
        self._forget_session(peer)

    def _forget_session(self, peer: Peer) -> None:
        self.offers.forget(peer)
        peer.forget_session()
        self.census.heard_busy(peer, 0)

    def _strange(self, peer: Peer, frame: Frame, now: float) -> list[Message]:
        """A frame outside the session: the answer that we wait for, or a ghost."""
        message = frame.message
        if not isinstance(message, Welcome):
            if isinstance(message, Goodbye) and message.incarnation == peer.incarnation:
                return [message]
            # A ghost, or the session that the agent is really in: it tells in a pulse of silence.
            if peer.is_ready and now > peer.heard + self._hello.pulse_s * 2:
                self._become(peer, AgentState.JOINING, "in another session", now)
                self.ask(peer, now)
            return []
        if message.opening != peer.opening or peer.link is not None or not peer.is_wanted:
            return []
        if message.protocol != PROTOCOL:
            reason = f"speaks protocol {message.protocol}, we speak {PROTOCOL}"
            self.leave(peer, reason, now, is_wanted=True)
            return []
        self._forget_session(peer)
        peer.link = Link(frame.session, now)
        self._timers.drop(("hello", peer.name))
        self._timers.wake_by(("silence", ""), now + UNREACHABLE_AFTER_S)
        return self.arrived(peer, frame, now)

    def _heartbeat(self, peer: Peer, message: Heartbeat, now: float) -> None:
        if message.facts:
            peer.facts.update(message.facts)
            if isinstance(busy := message.facts.get("busy"), int):
                self.census.heard_busy(peer, busy)
        if message.nonce:
            self.control(peer, Heartbeat(echo=message.nonce))
        if message.echo and message.echo == peer.nonce:
            peer.nonce = 0
            peer.rtt_s = now - peer.pinged_at

    def _become(self, peer: Peer, state: AgentState, reason: str, now: float) -> None:
        if peer.state is not state:
            peer.state = state
            peer.since = now
            self.is_fewer |= state is not AgentState.READY
            if state is not AgentState.JOINING:
                self._outbox.now(AgentChanged(peer.name, peer.word, reason))
        self.census.changed()
