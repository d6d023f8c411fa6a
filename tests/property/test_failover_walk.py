"""Random walks of a client with three schedulers that die, stand still and come back.

Messages are lost, doubled and late. The laws: each call ends once; what has ended is handed to
nobody again; when the faults are over, nothing stays open while one scheduler lives.
"""

from dataclasses import dataclass, field
from random import Random

import pytest

from covey.core.failover import FailoverCore
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

NAMES = ("s1", "s2", "s3")
#: Steps with faults, and virtual seconds within which all must end when they are over.
STEPS = 250
HEALED_MAX_S = 200.0


@dataclass
class Scheduler:
    """What a shared scheduler does, as far as its client sees."""

    state: str = "up"
    #: Counts its starts.
    start: int = 1
    #: launch -> calls that it holds and has not told of for sure.
    held: dict[int, list[int]] = field(default_factory=dict[int, list[int]])

    def restart(self) -> None:
        self.state, self.held, self.start = "up", {}, self.start + 1


class Walk:
    """A client, its schedulers and the wires between them."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        self.now = 0.0
        self.core = FailoverCore(NAMES, 0.0)
        self.schedulers = {name: Scheduler() for name in NAMES}
        self.is_lossy = True
        self.is_linked = True
        #: Towards the client: any of them may come next, or twice.
        self.wire: list[Event] = []
        self.open: set[int] = set()
        self.ended: dict[int, str] = {}
        self.count = 0
        self.launches: list[int] = []
        self.undecided: list[tuple[int, list[int]]] = []
        self.is_stranded = False
        #: Under way: (scheduler, which start of it, launch, calls).
        self.requests: list[tuple[str, int, int, list[int]]] = []
        #: Calls that were handed to the scheduler of an launch: launch -> calls.
        self.handed: dict[int, list[int]] = {}

    # -- what the client does

    def tell(self, event: Event) -> None:
        for action in self.core.handle(event, self.now):
            self.perform(action)
        self.core.check()

    def perform(self, action: Action) -> None:
        match action:
            case Probe(name):
                self.ask(name)
            case Launch(name, launch, ids):
                assert not self.launches or launch > self.launches[-1]
                self.launches.append(launch)
                self.handed[launch] = []
                self.hand(name, launch, ids)
            case HandOver(ids):
                self.hand(self.core.current, self.core.launch, ids)
            case Deliver(ids):
                self.end(ids, "delivered")
            case Fail(ids) | Strand(ids):
                self.is_stranded |= isinstance(action, Strand)
                self.end(ids, "failed")
            case AskUser(launch, ids):
                assert set(ids) <= self.open
                self.undecided.append((launch, ids))
            case Withdraw(ids):
                assert not set(ids) & self.open
            case Abandon():
                pass

    def hand(self, name: str, launch: int, ids: list[int]) -> None:
        again = [one for one in ids if one not in self.open]
        assert not again, f"{again} ended, and are handed over: {self.ended}"
        assert not set(ids) & set(self.handed[launch]), "handed over twice in one launch"
        self.handed[launch] += ids
        self.requests.append((name, self.schedulers[name].start, launch, ids))
        if self.is_linked:
            self.hand_on()

    def hand_on(self) -> None:
        """A request is repeated until it is answered: only its scheduler's death loses it."""
        requests, self.requests = self.requests, []
        for name, start, launch, ids in requests:
            scheduler = self.schedulers[name]
            if scheduler.state == "dead":
                self.send(Gone(name))
            elif scheduler.start == start and (
                launch in scheduler.held or ids == self.handed[launch][: len(ids)]
            ):
                # Of a job that another start of it began, it knows nothing.
                scheduler.held.setdefault(launch, []).extend(ids)

    def end(self, ids: list[int], how: str) -> None:
        for one in ids:
            assert one in self.open, f"call {one} ends as {how}, but is {self.ended.get(one)}"
            self.open.remove(one)
            self.ended[one] = how

    def ask(self, name: str) -> None:
        if not self.is_linked:
            return
        scheduler = self.schedulers[name]
        if scheduler.state == "dead":
            self.send(Gone(name))
        elif scheduler.state == "up":
            self.send(Heard(name))
            if name == self.core.current and self.core.launch not in scheduler.held:
                self.send(Forgot(self.core.launch))

    def send(self, event: Event) -> None:
        if self.is_lossy and self.rng.random() < 0.1:
            return
        self.wire.append(event)

    # -- what happens

    def submit(self) -> None:
        ids = list(range(self.count + 1, self.count + 1 + self.rng.randint(1, 5)))
        self.count = ids[-1]
        if not self.is_stranded:
            self.open.update(ids)
            self.tell(Submitted(ids))

    def drop(self) -> None:
        if self.open:
            one = self.rng.choice(sorted(self.open))
            self.end([one], "cancelled")
            self.tell(Dropped([one]))

    def work(self) -> None:
        """A scheduler tells of ends; it says it again as long as it holds them."""
        name = self.rng.choice(NAMES)
        scheduler = self.schedulers[name]
        if scheduler.state == "up":
            for launch, ids in scheduler.held.items():
                some = [one for one in ids if self.rng.random() < 0.5]
                if some:
                    self.send(Results(launch, some))

    def deliver(self) -> None:
        if self.wire and self.is_linked:
            at = self.rng.randrange(len(self.wire))
            is_copied = self.is_lossy and self.rng.random() < 0.2
            self.tell(self.wire[at] if is_copied else self.wire.pop(at))

    def fault(self) -> None:
        scheduler = self.schedulers[self.rng.choice(NAMES)]
        how = self.rng.choice(["kill", "stop", "go on", "restart", "link"])
        if how == "kill":
            scheduler.state = "dead"
        elif how == "stop" and scheduler.state == "up":
            scheduler.state = "stopped"
        elif how == "go on" and scheduler.state == "stopped":
            scheduler.state = "up"
        elif how == "restart":
            scheduler.restart()
        elif how == "link":
            self.set_link(not self.is_linked)

    def set_link(self, is_up: bool) -> None:
        if is_up is not self.is_linked:
            self.is_linked = is_up
            self.tell(LinkUp() if is_up else LinkDown())
            if is_up:
                self.hand_on()

    def decide(self) -> None:
        if self.undecided:
            launch, _ = self.undecided.pop(0)
            self.tell(Decided(launch, is_relaunch=self.rng.random() < 0.7))

    def pass_time(self, most_s: float) -> None:
        """To the next deadline, and beyond it at times: now and then so far that it is a stall."""
        wake = self.core.wake_at
        late_s = self.rng.choice([0.0, 0.0, 0.01, most_s])
        self.now = max(self.now, wake if wake is not None else self.now) + late_s
        self.tell(Look())

    def step(self) -> None:
        what = self.rng.choices(
            [self.submit, self.drop, self.work, self.deliver, self.fault, self.decide],
            [3, 1, 4, 8, 1, 2],
        )[0]
        what()
        if self.rng.random() < 0.4:
            self.pass_time(2.0)

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
        self.is_lossy = False
        self.schedulers[self.rng.choice(NAMES)].restart()
        self.set_link(True)
        until = self.now + HEALED_MAX_S
        while self.open and self.now < until:
            self.decide()
            self.work()
            for _ in range(len(self.wire)):
                self.deliver()
            self.pass_time(0.01)
        assert not self.open, f"{self.open} are open in phase {self.core.phase}"


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_each_call_ends_once_and_is_not_run_again_whatever_happens_to_schedulers(
    first: int,
) -> None:
    moves = 0
    for seed in range(first, first + 100):
        walk = Walk(seed)
        try:
            walk.run()
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        moves += len(walk.launches)
    # Walks in which nothing ever happens prove nothing.
    assert moves > 150
