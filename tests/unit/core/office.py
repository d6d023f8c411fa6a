"""A SchedulerCore whose agents do what a test says: the far end of each session."""

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, TypeVar

from covey.core.actions import Action, Record, RecordAttempts, RecordJob, Resolve, Send
from covey.core.events import Added, AgentKnown, Arrived, Event, Opened, Sealed, Tick
from covey.core.link import Link
from covey.core.scheduler import SchedulerCore
from covey.model.job import JobSpec, Shape
from covey.model.task import OutcomeState
from covey.wire import messages as m

M = TypeVar("M")
A = TypeVar("A")
#: How tasks end, by short names.
OK = int(OutcomeState.SUCCEEDED)
FAILED = int(OutcomeState.FAILED)
RETURNED = int(OutcomeState.RETURNED)
CANCELLED = int(OutcomeState.CANCELLED)


@dataclass
class Agent:
    """The far end of a session."""

    name: str
    slots: int
    incarnation: str
    link: Link | None = None
    opening: int = 0
    batch: int = 0
    heard: list[m.Message] = field(default_factory=list[m.Message])

    def all(self, kind: type[M]) -> list[M]:
        """What was heard of one kind."""
        return [message for message in self.heard if isinstance(message, kind)]

    def granted(self) -> list[int]:
        """Ids of all tasks granted here, in order."""
        return [task for grant in self.all(m.Grant) for task in grant.ids]


class Office:
    """The scheduler, its agents, the clock, and all that was to be done."""

    def __init__(self, *, durable: bool = False, **options: Any) -> None:
        self.now = 50.0
        self.core = SchedulerCore("s", "5" * 32, 1, durable, Random(7), **options)
        self.agents: dict[str, Agent] = {}
        self.done: list[Action] = []

    def agent(self, name: str = "a", slots: int = 2, **report: Any) -> Agent:
        """An agent is known, and welcomes us."""
        agent = Agent(name, slots, f"{name}-1")
        self.agents[name] = agent
        self.tell(AgentKnown(name))
        self.welcome(agent, **report)
        return agent

    def welcome(self, agent: Agent, *, incarnation: str = "", **report: Any) -> None:
        """The agent answers the last Hello with a new session."""
        agent.incarnation = incarnation or agent.incarnation
        agent.link = Link(f"{agent.name}{agent.opening}".encode().ljust(16, b"."), self.now)
        values: dict[str, Any] = {"free": agent.slots, "holds": [], "running": []}
        values |= {"unrecorded": [], "facts": {}} | report
        welcome = m.Welcome(agent.opening, agent.incarnation, agent.slots, **values)
        self.say(agent, welcome)

    def say(self, agent: Agent, message: m.Message) -> None:
        """The agent says something in its session."""
        assert agent.link is not None
        for frame in agent.link.send(message, self.now):
            self.tell(Arrived(agent.name, frame))

    def claim(self, agent: Agent, room: int = 1, free: int = 0, shape: int = 1) -> None:
        """The agent asks for tasks of job 1."""
        self.say(agent, m.Claim(1, shape, room, free))

    def finish(
        self,
        agent: Agent,
        ids: list[int],
        state: int = OK,
        *,
        n: int = 1,
        term: int = 1,
        **more: Any,
    ) -> None:
        """Attempts of job 1 end at the agent."""
        agent.batch += 1
        values: dict[str, Any] = {"elapsed_s": 0.1, "free": 0} | more
        states, ns = [state] * len(ids), [n] * len(ids)
        self.say(agent, m.Finished(agent.batch, 1, 1, ids, ns, states, **values))

    def job(self, count: int = 0, *, is_sealed: bool = True, **spec: Any) -> None:
        """Job 1 with so many tasks."""
        self.tell(Opened(1, replace(JobSpec(shapes=(Shape(),)), **spec)))
        if count:
            self.tell(Added(1, 1, 1, count))
        if is_sealed:
            self.tell(Sealed(1, count))

    def tell(self, event: Event) -> None:
        """Put an event to the core; what it sends arrives at once."""
        actions = self.core.handle(event, self.now)
        self.core._check()
        self.perform(actions)

    def perform(self, actions: list[Action]) -> None:
        """Deliver what is sent, keep the rest."""
        for action in actions:
            if isinstance(action, Send):
                self._deliver(self.agents[action.to], action.frame)
            else:
                self.done.append(action)

    def _deliver(self, agent: Agent, frame: m.Frame) -> None:
        if isinstance(frame.message, m.Hello):
            agent.opening = frame.message.opening
            agent.heard.append(frame.message)
        elif agent.link is not None:
            messages, _ = agent.link.arrived(frame, self.now)
            agent.heard += messages

    def wait(self, seconds: float, *, alive: tuple[Agent, ...] = ()) -> None:
        """Time passes; the core is woken when it wants; these agents are heard meanwhile."""
        until = self.now + seconds
        while (at := self.core.wake_at) is not None and at <= until:
            self.now = max(self.now, at)
            self.tell(Tick())
            for agent in alive:
                if agent.link is not None:
                    self.tell(Arrived(agent.name, agent.link.control(m.Heartbeat())))
        self.now = until

    def all(self, kind: type[A]) -> list[A]:
        """What was to be done of one kind."""
        return [action for action in self.done if isinstance(action, kind)]

    def outcomes(self) -> dict[int, int]:
        """Task -> recorded state; each once."""
        out: dict[int, int] = {}
        for record in self.all(Record):
            for task, state in zip(record.ids, record.states, strict=True):
                assert task not in out, f"task {task} was recorded twice"
                out[task] = state
        return out

    def told(self) -> dict[int, int]:
        """Task -> state that the client was told."""
        pairs = [pair for r in self.all(Resolve) for pair in zip(r.ids, r.states, strict=True)]
        return dict(pairs)

    def retried(self) -> list[int]:
        """Tasks whose attempt ended and was not the outcome."""
        return [task for record in self.all(RecordAttempts) for task in record.ids]

    def states(self) -> list[str]:
        """States that job 1 went through."""
        return [record.state for record in self.all(RecordJob)]


#: What makes a job one task per claim, as in the paper.
PURE = {"is_multi_get": False}


def cluster(office: Office, count: int, **report: Any) -> list[Agent]:
    """Agents with two slots each."""
    return [office.agent(f"a{number}", **report) for number in range(count)]


def levels(agents: list[Agent]) -> list[int]:
    """Reservations that each agent was told of last."""
    return [agent.all(m.Enqueue)[-1].count for agent in agents if agent.all(m.Enqueue)]
