"""Invariants 5, 6 and 7 of ARCHITECTURE.md, seen in the cores; the numbers stand in the names."""

import dataclasses
import random

from tests.unit.core.desk import Desk, Room

from covey.core.actions import Action, Record, RecordJob, Resolve, Send, Start
from covey.core.agent import AgentCore
from covey.core.events import (
    Added,
    AgentKnown,
    Arrived,
    Confirm,
    Ended,
    Event,
    Opened,
    Sealed,
    Tick,
)
from covey.core.scheduler import SchedulerCore
from covey.model.job import JobSpec, Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m

OK = int(OutcomeState.SUCCEEDED)
NOW = 100.0


def test_invariant_05_a_reservation_names_a_job_and_a_shape_and_starts_nothing():
    assert {field.name for field in dataclasses.fields(m.Enqueue)} == {
        *("job", "shape", "count", "standing"),
        # What the shape is, at its first mention.
        *("terms", "name", "weight", "is_multi_get"),
    }
    room = Room(slots=2)
    desk = Desk(room).described()
    desk.enqueue(3)
    assert room.started == []
    assert desk.last(m.Claim).shape == 1


def test_invariant_05_only_what_was_granted_runs_and_a_copy_of_the_grant_starts_nothing():
    room = Room(slots=4)
    desk = Desk(room).described()
    frame = desk.link.send(m.Grant(1, 1, 1, [7], [1]), room.now)[0]
    for _ in range(3):
        desk.post(frame)
    desk.grant(7)
    assert [(start.ids, start.ns, start.term) for start in room.started] == [([7], [1], 1)]


def test_invariant_07_an_agent_refuses_who_comes_back_with_an_older_term():
    room = Room(slots=1)
    new = Desk(room, durable=True, incarnation="second", term=2)
    old = m.Hello(9, 1, "first", durable=True)
    new.post(m.Frame(b"", 0, 0, old))
    assert [w.opening for w in new.all(m.Welcome)] == [new.hello.opening]
    new.described()
    new.grant(1)
    assert [start.term for start in room.started] == [2]


class Pair:
    """A durable scheduler and an agent with one slot, which hear each other at once."""

    def __init__(self) -> None:
        self.scheduler = SchedulerCore("head", "s1", 1, True, random.Random(1))
        self.agent = AgentCore("lab1", "a1", 1, random.Random(2))
        #: Actions of the scheduler, one list per event, in order.
        self.done: list[list[Action]] = []
        self.started: list[Start] = []

    def tell(self, event: Event) -> list[Action]:
        """One event for the scheduler; what it sends reaches the agent, and so back."""
        actions = self.scheduler.handle(event, NOW)
        self.done.append(actions)
        for action in actions:
            if isinstance(action, Send):
                self.tell_agent(Arrived("head", action.frame))
        return actions

    def tell_agent(self, event: Event) -> None:
        """One event for the agent; what it sends reaches the scheduler."""
        for action in self.agent.handle(event, NOW):
            if isinstance(action, Send):
                self.tell(Arrived("lab1", action.frame))
            elif isinstance(action, Start):
                self.started.append(action)


def test_invariant_06_what_follows_a_record_stands_behind_it_and_recorded_waits_for_the_disk():
    pair = Pair()
    pair.tell(AgentKnown("lab1"))
    pair.tell(Opened(1, JobSpec(shapes=(Shape(),))))
    pair.tell(Added(1, 1, first=1, count=1))
    pair.tell(Sealed(1, 1))
    [start] = pair.started
    before = len(pair.done)
    pair.tell_agent(Ended(start.slot, [OK], 0.001, is_last=True))

    [actions] = [group for group in pair.done[before:] if any(isinstance(a, Record) for a in group)]
    recorded_at = next(n for n, action in enumerate(actions) if isinstance(action, Record))
    dependent = [n for n, a in enumerate(actions) if isinstance(a, Resolve | RecordJob | Confirm)]
    assert dependent
    assert min(dependent) > recorded_at
    sent = [a.frame.message for group in pair.done[before:] for a in group if isinstance(a, Send)]
    assert not any(isinstance(message, m.Recorded) for message in sent)

    for confirm in [action for action in actions if isinstance(action, Confirm)]:
        later = pair.tell(confirm)
        sent += [action.frame.message for action in later if isinstance(action, Send)]
    for action in _ticked(pair):
        if isinstance(action, Send):
            sent.append(action.frame.message)
    assert any(isinstance(message, m.Recorded) for message in sent)


def _ticked(pair: Pair) -> list[Action]:
    """`Recorded` is coalesced for a few milliseconds: what comes then."""
    actions: list[Action] = []
    for _ in range(5):
        if pair.scheduler.wake_at is not None:
            actions += pair.scheduler.handle(Tick(), pair.scheduler.wake_at)
    return actions
