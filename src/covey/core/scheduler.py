"""The scheduler: owns jobs, binds tasks to agents, records outcomes. Pure: events in, actions out.

    Opened/Added/Sealed ──► Binding ──Grant──► agents ──Finished──► Outcomes ──Record──► ledger
                               ▲                  │                    │
                               └── pending again ─┴── Recovery ◄───────┘ (lost, retried, returned)

`Roster` holds the sessions and judges silence, `Timers` the deadlines, `Outbox` keeps what is sent
before what is recorded. A restarted durable scheduler is a new core with a higher term, fed with
`Restored`.
"""

from random import Random

from covey.core.actions import Action
from covey.core.binding import Binding
from covey.core.candidates import next_given_up
from covey.core.closing import Closing
from covey.core.events import (
    Added,
    AgentDied,
    AgentDraining,
    AgentForgotten,
    AgentKnown,
    Arrived,
    BusDown,
    BusUp,
    CancelAsked,
    Confirm,
    DrainAsked,
    Ended,
    Event,
    Gauged,
    Opened,
    PeerGone,
    Restored,
    Sealed,
    Shaped,
    TailAsked,
    Tick,
)
from covey.core.explaining import why
from covey.core.jobs import JOB_TRANSITIONS, Job
from covey.core.outbox import Outbox
from covey.core.outcomes import RETURNED, Outcomes
from covey.core.recovery import Recovery
from covey.core.roster import Peer, Roster
from covey.core.timers import Key, Timers
from covey.errors import InternalError
from covey.wire.messages import (
    Claim,
    Finished,
    Frame,
    Goodbye,
    Heartbeat,
    Hello,
    Load,
    Message,
    Tail,
    Welcome,
)

__all__ = ["JOB_TRANSITIONS", "SchedulerCore"]


class SchedulerCore:
    """Decides for one scheduler; see `core.actions` for how it is driven."""

    def __init__(
        self,
        scheduler_id: str,
        incarnation: str,
        term: int,
        durable: bool,
        rng: Random,
        pulse_s: float = 1.0,
    ) -> None:
        """A scheduler without jobs or agents.

        Args:
            scheduler_id: its name on the bus.
            incarnation: 128 random bits (hex) per start.
            term: rises with each start of a durable scheduler.
            durable: `Recorded` is said only when the service confirms the record.
            rng: for placement.
            pulse_s: seconds between heartbeats.
        """
        self.scheduler_id = scheduler_id
        self.incarnation = incarnation
        self.term = term
        self.jobs: dict[int, Job] = {}
        self._pulse_s = pulse_s
        self._outbox = Outbox()
        self._timers = Timers()
        hello = Hello(0, term, incarnation, durable, pulse_s)
        self.roster = Roster(hello, self._outbox, self._timers)
        self.binding = Binding(self.jobs, self.roster, self._timers, rng)
        parts = (self.jobs, self.roster, self.binding, self._outbox, self._timers)
        self._closing = Closing(*parts, durable=durable)
        self._outcomes = Outcomes(
            self.jobs, self.roster, self._closing, self._outbox, self._timers, durable=durable
        )
        self._recovery = Recovery(
            self.jobs, self.roster, self.binding, self._outcomes, self._closing, self._timers
        )
        self._down_since = 0.0

    @property
    def counts(self) -> dict[str, int]:
        """Messages said and heard in sessions, by kind."""
        return {kind.__name__: count for kind, count in self.roster.counts.items()}

    @property
    def wake_at(self) -> float | None:
        """When `Tick` is wanted; None = not at all."""
        return self._timers.wake_at

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event at monotonic time `now`; returns what is to be done, in order."""
        self._notice_stall(now)
        if isinstance(event, Arrived):
            self._arrived(event, now)
        elif isinstance(event, Tick):
            for key in self._timers.due(now):
                self._look_at(key, now)
        else:
            self._other(event, now)
        if self.roster.dropped:
            dropped, self.roster.dropped = self.roster.dropped, []
            self.binding.forget(dropped, now)
        if self.roster.is_fewer:
            self.roster.is_fewer = False
            self._timers.wake_by(("joining", ""), next_given_up(self.roster, now))
            self._closing.strand_all(now)
        self.binding.supply_aside(now)
        return self._outbox.take()

    def is_stale(self, agent: str, frame: Frame) -> bool:
        """Whether a frame says nothing new: of another session, or a copy. It is dropped."""
        peer = self.roster.peers.get(agent)
        if peer is None or not frame.session:
            return False
        if peer.link is None:
            message = frame.message
            return not isinstance(message, Welcome) or message.opening != peer.opening
        return peer.link.is_old(frame)

    def farewell(self) -> list[Action]:
        """Tell the agents that this scheduler leaves for good (in memory: its tasks may stop)."""
        self.roster.farewell()
        return self._outbox.take()

    def ping_all(self, now: float) -> list[Action]:
        """Measure the round trip to every agent in session; see `Peer.rtt_s`."""
        for name in self.roster.ready:
            self.roster.ping(self.roster.peers[name], now)
        return self._outbox.take()

    def explain(self, number: int, task: int, now: float) -> str:
        """Why a task has not ended, in a sentence."""
        job = self.jobs.get(number)
        return why(job, task, self.roster, now) if job else "the job is over, or there is none"

    def _check(self) -> None:
        """Assert the invariants between the parts; tests call it after each event."""
        for job in self.jobs.values():
            job.check()
        self.binding.check()
        self.roster.check()

    # -- agents

    def _arrived(self, event: Arrived, now: float) -> None:
        peer = self.roster.peers.get(event.peer)
        if peer is None:
            return  # A stranger: whoever knows it says so with AgentKnown.
        for message in self.roster.arrived(peer, event.frame, now):
            self._apply(peer, message, now)
        said = event.frame.message
        # Those that only acknowledge tell nothing of slots: what is known may be of before a grant.
        if isinstance(said, Heartbeat) and "busy" in said.facts and peer.is_ready:
            if peer.is_crowded:
                self.binding.relieve(peer, now)
            else:
                self.binding.pulse(peer, now)

    def _apply(self, peer: Peer, message: Message, now: float) -> None:
        counts = self.roster.counts
        counts[type(message)] = counts.get(type(message), 0) + 1
        if isinstance(message, Finished):
            self.binding.ended(peer, message)
            # First its credit, then what ended: what must run again may go straight back.
            self.binding.heard(peer, message.free)
            self._outcomes.finished(peer, message, now)
            self._asks(peer, message, now)
            if RETURNED in message.states:
                self.binding.returned(peer, message, now)
        elif isinstance(message, Claim):
            self.binding.heard(peer, message.free)
            self._asks(peer, message, now)
        elif isinstance(message, Welcome):
            self._recovery.welcome(peer, message, now)
        elif isinstance(message, Goodbye):
            if message.incarnation == peer.incarnation:
                self._recovery.left(peer, message.reason or "drained", now)
        elif isinstance(message, Load):
            self.binding.loaded(peer, message, now)
        # Anything else is for the service (Output, Fetch, Chunk) or not said to schedulers.

    def _asks(self, peer: Peer, ask: Claim | Finished, now: float) -> None:
        if ask.room:
            self.binding.claim(peer, ask.job, ask.shape, ask.room, now)
        self.binding.spend(peer, now)

    # -- jobs

    def _other(self, event: Event, now: float) -> None:
        match event:
            case Opened(number, spec):
                self.jobs.setdefault(number, Job(number, spec, self.term))
            case Shaped(number, shape, terms):
                if job := self.jobs.get(number):
                    job.add_shape(shape, terms)
            case Added():
                self._added(event, now)
            case Sealed():
                self._sealed(event, now)
            case CancelAsked():
                self._cancel(event, now)
            case _:
                self._rarer(event, now)

    def _added(self, event: Added, now: float) -> None:
        job = self.jobs.get(event.job)
        if job is None or event.first != job.held + 1:
            return  # Of a job that has ended, or a repetition.
        if event.shape not in job.shapes:
            raise InternalError(f"job {event.job} has no shape {event.shape}")
        job.held += event.count
        job.pending[event.shape].add(event.first, event.count)
        if event.bytes_mean:
            job.bytes_mean[event.shape] = event.bytes_mean
        if not job.is_open:
            self._closing.drain(job, now)
        elif job.is_constrained:
            self._closing.progress(job, now)
        else:
            self.binding.supply(job, now)

    def _sealed(self, event: Sealed, now: float) -> None:
        job = self.jobs.get(event.job)
        if job is not None and job.total is None:
            job.total = event.total
            self._closing.progress(job, now)

    def _cancel(self, event: CancelAsked, now: float) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            return
        if event.ids:
            self._closing.cancel_tasks(job, event.ids, now)
        else:
            self._closing.end_early(job, "cancel", "cancelled", now)

    def _tail(self, event: TailAsked, now: float) -> None:
        job = self.jobs.get(event.job)
        if job is None:
            return
        if event.on:
            job.tails[event.id] = True
        else:
            job.tails.pop(event.id, None)
        lease = job.running.get(event.id)
        names = list(job.holdings) if event.id == 0 else [lease.agent] if lease else []
        for name in names:
            order = Tail(event.job, event.id, event.on)
            self.roster.send(self.roster.peers[name], order, now)

    def _rarer(self, event: Event, now: float) -> None:
        match event:
            case TailAsked():
                self._tail(event, now)
            case Restored(number, spec):
                if number not in self.jobs:
                    self._recovery.restored(event, Job(number, spec, self.term), now)
            case Confirm():
                self._outcomes.confirmed(event, now)
            case _:
                self._about_agents(event, now)

    def _about_agents(self, event: Event, now: float) -> None:
        match event:
            case AgentKnown():
                self._known(event, now)
            case AgentForgotten(name):
                if peer := self.roster.peers.get(name):
                    self._recovery.left(peer, "taken down", now, is_forgotten=True)
            case AgentDraining(name, on):
                if peer := self.roster.peers.get(name):
                    self.roster.drain(peer, now, on=on)
                    self.binding.drain(peer, now)
            case AgentDied(name) | PeerGone(name):
                peer = self.roster.peers.get(name)
                if peer is None:
                    return
                if isinstance(event, AgentDied):
                    self._recovery.gone(peer, "it does not run any more", now)
                elif not peer.is_far:
                    self._recovery.gone(peer, "nobody listens there", now)
            case _:
                self._about_bus(event, now)

    def _known(self, event: AgentKnown, now: float) -> None:
        self.roster.know(event.agent, now)
        peer = self.roster.peers[event.agent]
        peer.is_far = event.is_far
        if peer.labels != event.labels:
            peer.labels = event.labels
            self.roster.census.changed()
            self.binding.refit(peer, now)

    def _about_bus(self, event: Event, now: float) -> None:
        match event:
            case BusDown():
                self.roster.is_bus_up = False
                self._down_since = now
            case BusUp():
                self._bus_up(now)
            case Ended() | Gauged() | DrainAsked():
                raise InternalError(f"{type(event).__name__} is for the agent's core")
            case _:
                raise InternalError(f"no scheduler expects {type(event).__name__}")

    # -- time

    def _bus_up(self, now: float) -> None:
        if not self.roster.is_bus_up:
            self.roster.is_bus_up = True
            self.roster.restart_clocks(now - self._down_since, now)
        self.roster.bus_up(now)
        self._recovery.bus_up(now)

    def _notice_stall(self, now: float) -> None:
        """Our own loop stood still (suspend, SIGSTOP): that was nobody's silence."""
        due = self._timers.wake_at
        if due is not None and now > due + self._pulse_s:
            self.roster.restart_clocks(now - due, now)

    def _look_at(self, key: Key, now: float) -> None:
        kind, name = key
        if isinstance(name, int):
            self._look_at_job(kind, name, now)
        elif peer := self.roster.peers.get(name):
            match kind:
                case "link":
                    self.roster.tick_link(peer, now)
                case "flush":
                    self._outcomes.flush(peer, now)
                case "hello":
                    self.roster.say_hello(peer, now)
                case "aside" | "ride":
                    # Its pause is over: see `handle`. What waited for company waits no more.
                    self.roster.flush_rider(peer, now)
                case _:
                    self._recovery.limbo(peer, now)
        elif kind == "pulse":
            self.roster.pulse(now)
        elif kind == "silence":
            self._recovery.judge(now)
        elif kind == "joining":
            self._timers.wake_by(key, next_given_up(self.roster, now))
            self._closing.strand_all(now)
        else:
            self._recovery.end_restoring(now)

    def _look_at_job(self, kind: str, number: int, now: float) -> None:
        job = self.jobs.get(number)
        if job is None:
            return
        match kind:
            case "tail":
                self.binding.call_back(job, now)
            case "pace":
                self.binding.supply(job, now)
            case "probe":
                self.binding.probed(job, now)
            case "drain":
                self._closing.drain(job, now)
            case _:
                self._closing.give_up(job, now)
