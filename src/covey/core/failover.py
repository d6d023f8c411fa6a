"""Which of several shared schedulers holds the calls of a client, and what becomes of them. Pure.

    SEEKING ──answered──► SERVING ──lost──► ASKING ──relaunch | partial──► SEEKING …
       └── none answers for STRANDED_MAX_S ──► OVER

Each time that calls are handed to a scheduler is a *launch*. What a scheduler says of an earlier
launch is not listened to: one that stood still and goes on cannot end a call a second time. A call
that has ended is handed to nobody again.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

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
from covey.errors import InvalidTransition

#: A scheduler that holds calls is asked this often whether it lives.
PROBE_EVERY_S = 0.04
#: The same while it holds none.
IDLE_PROBE_EVERY_S = 1.0
#: One that answers nothing for so long is left for the next of the list. (One that is dead is told
#: at once, by the server: nobody listens there.)
SILENT_MAX_S = 3.0
#: The next of the list is waited for this long before one behind it is taken.
PATIENCE_S = 0.1
#: The same of the first of the list, at the beginning: there is no hurry then, and one that is
#: only slow to answer is not passed over.
START_PATIENCE_S = SILENT_MAX_S
#: When none of the list answers for so long, the calls that are open fail.
STRANDED_MAX_S = 30.0
#: "Nobody listens there" is not believed for so long after our own link to the bus was down: the
#: scheduler may be connecting again, too.
RECONNECT_MAX_S = 2.0
#: Our own loop came so much too late: that was nobody's silence.
STALL_S = 1.0


class Phase(StrEnum):
    """Of a client, towards its list of schedulers."""

    #: Nobody holds its calls; schedulers are asked who answers.
    SEEKING = "seeking"
    #: One of them does.
    SERVING = "serving"
    #: It was lost with calls in flight; its user says what is to become of them.
    ASKING = "asking"
    OVER = "over"


FAILOVER_TRANSITIONS: dict[tuple[Phase, str], Phase] = {
    (Phase.SEEKING, "answered"): Phase.SERVING,
    (Phase.SEEKING, "stranded"): Phase.OVER,
    (Phase.SERVING, "lost"): Phase.ASKING,
    (Phase.SERVING, "lost idle"): Phase.SEEKING,
    (Phase.ASKING, "relaunch"): Phase.SEEKING,
    (Phase.ASKING, "partial"): Phase.SEEKING,
}


@dataclass(slots=True)
class _Search:
    """For the next scheduler."""

    since: float
    probe_at: float
    answered: set[str] = field(default_factory=set[str])
    dead: set[str] = field(default_factory=set[str])


class FailoverCore:
    """Decides for one client. `handle` each event, perform what it answers in its order."""

    def __init__(self, names: Iterable[str], now: float) -> None:
        """A client that holds nothing yet and looks for the first scheduler of the list."""
        self.names = list(dict.fromkeys(names))
        self.phase = Phase.SEEKING
        #: Rises with each `Launch`; 0 = there was none.
        self.launch = 0
        #: The scheduler of the launch ("" = none yet).
        self.current = ""
        # Calls that the scheduler of the launch holds, or held when it was lost; in their order.
        self._in_flight: dict[int, None] = {}
        # Calls that nobody holds.
        self._waiting: dict[int, None] = {}
        self._search = _Search(now, now)
        self._heard_at = self._probe_at = now
        self._judge_from = now
        self._is_up = True
        self._out: list[Action] = []

    @property
    def open(self) -> int:
        """Calls that have not ended."""
        return len(self._in_flight) + len(self._waiting)

    @property
    def wake_at(self) -> float | None:
        """When `Look` is wanted; None = not at all."""
        if self.phase is Phase.OVER or not self._is_up:
            return None
        return self._probe_at if self.phase is Phase.SERVING else self._search.probe_at

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take one event at monotonic time `now`; returns what is to be done, in order."""
        self._notice_stall(now)
        match event:
            case Submitted(ids):
                self._submitted(ids, now)
            case Results(launch, ids):
                self._results(launch, ids)
            case Dropped(ids):
                self._dropped(ids)
            case Decided(launch, is_relaunch):
                self._decided(launch, is_relaunch=is_relaunch)
            case LinkDown() | LinkUp():
                self._link(now, is_up=isinstance(event, LinkUp))
            case Look():
                self._look(now)
            case _:
                self._about_scheduler(event, now)
        if self.phase is Phase.SEEKING:
            self._choose(now)
        out, self._out = self._out, []
        return out

    # ------------------------------------------------------------ calls

    def _submitted(self, ids: list[int], now: float) -> None:
        new = dict.fromkeys(ids)
        if self.phase is Phase.OVER:
            self._out.append(Strand(ids))
        elif self.phase is Phase.SERVING:
            if not self._in_flight:
                self._probe_at = min(self._probe_at, now + PROBE_EVERY_S)
            self._in_flight |= new
            self._out.append(HandOver(ids))
        else:
            self._waiting |= new

    def _results(self, launch: int, ids: list[int]) -> None:
        if launch != self.launch or self.phase is not Phase.SERVING:
            return
        held = self._in_flight
        ended = [one for one in dict.fromkeys(ids) if one in held]
        for one in ended:
            del held[one]
        if ended:
            self._out.append(Deliver(ended))

    def _dropped(self, ids: list[int]) -> None:
        held = [one for one in ids if one in self._in_flight]
        for one in ids:
            self._in_flight.pop(one, None)
            self._waiting.pop(one, None)
        if held and self.phase is Phase.SERVING:
            self._out.append(Withdraw(held))

    # ------------------------------------------------------------ schedulers

    def _about_scheduler(self, event: Heard | Gone | Forgot, now: float) -> None:
        match event:
            case Heard(name):
                self._heard(name, now)
            case Gone(name):
                self._gone(name, now)
            case Forgot(launch):
                if launch == self.launch and self.phase is Phase.SERVING:
                    self._lose("does not know these tasks any more", now)

    def _heard(self, name: str, now: float) -> None:
        if self.phase is Phase.SERVING:
            if name == self.current:
                self._heard_at = now
        elif name in self.names:
            self._search.answered.add(name)
            self._search.dead.discard(name)

    def _gone(self, name: str, now: float) -> None:
        if not self._is_up or now < self._judge_from:
            return
        if self.phase is Phase.SERVING:
            if name == self.current:
                self._lose("does not run any more", now)
        else:
            self._search.answered.discard(name)
            self._search.dead.add(name)

    def _lose(self, why: str, now: float) -> None:
        self._out.append(Abandon(self.current, self.launch, why))
        self._search = _Search(now, now)
        if self._in_flight:
            self._go("lost")
            self._out.append(AskUser(self.launch, list(self._in_flight)))
        else:
            self._go("lost idle")
        self._probe_all(now)

    def _decided(self, launch: int, *, is_relaunch: bool) -> None:
        if self.phase is not Phase.ASKING or launch != self.launch:
            return
        held, self._in_flight = self._in_flight, {}
        if is_relaunch:
            self._go("relaunch")
            # Older than all that came meanwhile.
            self._waiting = held | self._waiting
        else:
            self._go("partial")
            if held:
                self._out.append(Fail(list(held)))

    def _choose(self, now: float) -> None:
        search = self._search
        for name in self._order():
            if name in search.answered:
                self._launch(name, now)
                return
            patience_s = PATIENCE_S if self.launch else START_PATIENCE_S
            if name not in search.dead and now - search.since < patience_s:
                return

    def _order(self) -> list[str]:
        """From the one behind the last; that one itself comes last."""
        if self.current not in self.names:
            return self.names
        at = self.names.index(self.current) + 1
        return self.names[at:] + self.names[:at]

    def _launch(self, name: str, now: float) -> None:
        self._go("answered")
        self.current = name
        self.launch += 1
        self._in_flight, self._waiting = self._waiting, {}
        self._heard_at = now
        self._probe_at = now + self._pause_s
        self._out.append(Launch(name, self.launch, list(self._in_flight)))

    # ------------------------------------------------------------ time

    @property
    def _pause_s(self) -> float:
        return PROBE_EVERY_S if self._in_flight else IDLE_PROBE_EVERY_S

    def _look(self, now: float) -> None:
        if self.phase is Phase.OVER or not self._is_up:
            return
        if self.phase is not Phase.SERVING:
            if now - self._search.since >= STRANDED_MAX_S and self.phase is Phase.SEEKING:
                self._strand()
            elif now >= self._search.probe_at:
                self._probe_all(now)
        elif now - self._heard_at >= SILENT_MAX_S:
            self._lose(f"did not answer for {SILENT_MAX_S:.0f} s", now)
        elif now >= self._probe_at:
            self._probe_at = now + self._pause_s
            self._out.append(Probe(self.current))

    def _probe_all(self, now: float) -> None:
        self._search.probe_at = now + PROBE_EVERY_S
        self._out += [Probe(name) for name in self._order()]

    def _strand(self) -> None:
        self._go("stranded")
        left, self._waiting = list(self._waiting), {}
        self._out.append(Strand(left))

    def _link(self, now: float, *, is_up: bool) -> None:
        was_down, self._is_up = not self._is_up, is_up
        if was_down:
            self._judge_from = now + RECONNECT_MAX_S
        if is_up:
            self._start_again(now)

    def _notice_stall(self, now: float) -> None:
        due = self.wake_at
        if due is not None and now > due + STALL_S:
            self._start_again(now)

    def _start_again(self, now: float) -> None:
        """Nobody was silent while we could not hear."""
        self._heard_at = self._probe_at = now
        self._search.since = self._search.probe_at = now

    def _go(self, event: str) -> None:
        """Go where FAILOVER_TRANSITIONS says."""
        after = FAILOVER_TRANSITIONS.get((self.phase, event))
        if after is None:
            raise InvalidTransition(
                f"failover: {event!r} in phase {self.phase}", state=self.phase, event=event
            )
        self.phase = after

    def check(self) -> None:
        """The laws, as assertions."""
        assert not self._in_flight.keys() & self._waiting.keys(), "a call is held twice"
        assert self.phase is not Phase.SERVING or not self._waiting, "a call waits for nobody"
        assert self.phase is not Phase.SEEKING or not self._in_flight, "a call is lost"
        assert self.phase is not Phase.OVER or not self.open, "a call is left open"
