"""A scheduler's end for tests of AgentCore: a real link, scripted by the test."""

import random
from typing import Any, TypeVar

from covey.core.actions import Action, Kill, Send, Start
from covey.core.agent import AgentCore
from covey.core.events import Arrived, Ended, Event, Tick
from covey.core.link import Link
from covey.core.queueing import QueuePolicy
from covey.model.job import Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m

Kind = TypeVar("Kind")
OK = int(OutcomeState.SUCCEEDED)


class Room:
    """An agent, a clock, and schedulers (`Desk`) that hear at once what it sends."""

    def __init__(self, slots: int = 2, policy: QueuePolicy | None = None, **options: Any) -> None:
        self.core = AgentCore("lab1", "a1", slots, random.Random(1), policy=policy, **options)
        self.now = 100.0
        self.desks: dict[str, Desk] = {}
        self.done: list[Action] = []
        self.running: dict[int, Start] = {}
        self.started: list[Start] = []
        self.ended: dict[int, int] = {}

    def handle(self, event: Event) -> list[Action]:
        """One event; frames reach their desks at once."""
        actions = self.core.handle(event, self.now)
        self.core._check()  # pyright: ignore[reportPrivateUsage]
        wake_at = self.core.wake_at
        assert not isinstance(event, Tick) or wake_at is None or wake_at > self.now
        self.done += actions
        for action in actions:
            if isinstance(action, Start):
                assert action.slot not in self.running
                self.running[action.slot] = action
                self.started.append(action)
            if isinstance(action, Send) and action.to in self.desks:
                self.desks[action.to].hear(action.frame)
        return actions

    def tick(self, after_s: float) -> list[Action]:
        """Time passes in one leap."""
        self.now += after_s
        return self.handle(Tick())

    def wait(self, for_s: float, *, talking: bool = True) -> None:
        """Time passes with every tick that the core asked for; schedulers show that they live."""
        until = self.now + for_s
        while (at := self.core.wake_at) is not None and at <= until:
            self.now = max(self.now, at)
            self.handle(Tick())
            for desk in self.desks.values() if talking else ():
                desk.post(desk.link.control(m.Heartbeat()))
        self.now = max(self.now, until)

    def end(self, slot: int, state: int = OK, took_s: float = 0.001, parts: int = 0) -> None:
        """The chunk in `slot` ends (with `parts`: only its next so many tasks)."""
        left = len(self.running[slot].ids) - self.ended.get(slot, 0)
        count = parts or left
        if count == left:
            del self.running[slot]
            self.ended.pop(slot, None)
        else:
            self.ended[slot] = self.ended.get(slot, 0) + count
        self.handle(Ended(slot, [state] * count, took_s * count, is_last=count == left))

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Actions of a kind so far."""
        return [action for action in self.done if isinstance(action, kind)]

    def killed(self) -> list[tuple[int, list[int]]]:
        """Slots and tasks that were to be killed."""
        return [(kill.slot, kill.ids) for kill in self.all(Kill)]


class Desk:
    """One scheduler in session with the agent."""

    def __init__(
        self,
        room: Room,
        name: str = "head",
        *,
        durable: bool = False,
        incarnation: str = "",
        term: int = 1,
    ) -> None:
        self.room = room
        self.name = name
        self.heard: list[m.Message] = []
        self.hello = m.Hello(1, term, incarnation or name + "1", durable)
        self.link = Link(b"", room.now)
        room.desks[name] = self
        self.open()

    def open(self) -> None:
        """Ask for a session."""
        self.post(m.Frame(b"", 0, 0, self.hello))

    def post(self, frame: m.Frame) -> list[Action]:
        """A frame reaches the agent."""
        return self.room.handle(Arrived(self.name, frame))

    def hear(self, frame: m.Frame) -> None:
        """A frame of the agent."""
        if isinstance(frame.message, m.Welcome) and frame.session != self.link.session:
            self.link = Link(frame.session, self.room.now)
        messages, _ = self.link.arrived(frame, self.room.now)
        self.heard += messages

    def tell(self, message: m.Message) -> list[Action]:
        """A sequenced message reaches the agent."""
        [frame] = self.link.send(message, self.room.now)
        return self.post(frame)

    def described(
        self,
        job: int = 1,
        shape: int = 1,
        *,
        weight: float = 1.0,
        is_multi_get: bool = True,
        **terms: Any,
    ) -> "Desk":
        """The agent knows the shape."""
        self.tell(m.Describe(job, shape, Shape(**terms), "", weight, is_multi_get))
        return self

    def enqueue(self, count: int = 1, job: int = 1, shape: int = 1, standing: bool = True) -> None:
        """The agent holds so many reservations."""
        self.tell(m.Enqueue(job, shape, count, standing))

    def grant(self, *ids: int, job: int = 1, shape: int = 1, n: int = 1, term: int = 0) -> None:
        """The agent is given tasks."""
        self.tell(m.Grant(job, shape, term or self.hello.term, list(ids), [n] * len(ids)))

    def all(self, kind: type[Kind]) -> list[Kind]:
        """Messages of a kind that were heard."""
        return [message for message in self.heard if isinstance(message, kind)]

    def last(self, kind: type[Kind]) -> Kind:
        """The latest message of a kind."""
        return self.all(kind)[-1]

    def outcomes(self) -> dict[int, OutcomeState]:
        """State of each task that the agent told of."""
        return {
            task: OutcomeState(state)
            for batch in self.all(m.Finished)
            for task, state in zip(batch.ids, batch.states, strict=True)
        }


def warm(desk: Desk, took_s: float, claims: int, ids: int = 1000) -> None:
    """`claims` rounds of claim, grant, end with tasks that take `took_s`."""
    for _ in range(claims):
        room = desk.room
        asked = asked_for(desk)
        room.now += 0.001
        desk.grant(*range(ids, ids + asked))
        ids += asked
        while room.running:
            room.end(min(room.running), took_s=took_s)


def asked(desk: Desk) -> list[int]:
    """Tasks that each claim asked for, alone or on a `Finished`."""
    return [c.room for c in desk.heard if isinstance(c, m.Claim | m.Finished) and c.room]


def asked_for(desk: Desk) -> int:
    """Tasks that the latest claim asks for."""
    return asked(desk)[-1]
