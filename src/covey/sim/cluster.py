"""The engine `cores`: the very cores of agents and schedulers, message for message.

Each simulated process is a core and what its service would do: frames are carried, chunks run in
their slots, clocks tick. Sessions, acknowledgements, heartbeats and timers are the real ones.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from covey.core.actions import Action, JobEnded, Kill, Send, Start, Strike
from covey.core.agent import AgentCore
from covey.core.events import (
    Added,
    AgentKnown,
    Arrived,
    Ended,
    Event,
    Opened,
    PeerGone,
    Sealed,
    Struck,
    Tick,
)
from covey.core.scheduler import SchedulerCore
from covey.model.job import JobSpec
from covey.model.task import OutcomeState
from covey.sim.kernel import Kernel
from covey.sim.links import Latency
from covey.sim.workload import SimJob
from covey.wire import messages as m

#: Virtual seconds in which agents and schedulers open their sessions, before the first job.
SETTLE_S = 0.5

_SUCCEEDED = int(OutcomeState.SUCCEEDED)
_CANCELLED = int(OutcomeState.CANCELLED)
#: What is counted as a message: what places tasks and tells of them. Descriptions, heartbeats and
#: acknowledgements are not.
_COUNTED = (m.Probe, m.Load, m.Enqueue, m.Withdraw, m.Claim, m.Grant, m.NoTask, m.Finished)


@dataclass(slots=True, eq=False)
class Chunk:
    """Tasks that run one after the other in a slot."""

    start: Start
    began: float
    done: int = 0
    killed: set[int] = field(default_factory=set[int])


class Node:
    """A simulated process: an agent or a scheduler."""

    __slots__ = (
        "core",
        "is_up",
        "jobs",
        "name",
        "running",
        "slow",
        "starts",
        "tick_at",
        "wire_free_at",
    )

    def __init__(self, name: str, core: AgentCore | SchedulerCore) -> None:
        self.name = name
        self.core = core
        self.is_up = True
        #: When it is woken next; infinity = it is not.
        self.tick_at = float("inf")
        #: Of an agent: slot -> what runs there.
        self.running: dict[int, Chunk] = {}
        #: Of a scheduler: its jobs by number.
        self.jobs: dict[int, SimJob] = {}
        #: Of an agent: seconds that a second's task takes here.
        self.slow = 1.0
        #: Of an agent: how often it was started.
        self.starts = 1
        #: To whom -> when the last frame sent there arrives: none overtakes another.
        self.wire_free_at: dict[str, float] = {}


class Cluster:
    """Agents and schedulers around their cores.

    Args:
        kernel: its `hop_s` is the delay of a message, if all take the same.
        machines: how many agents.
        slots: of each agent.
        speeds: of machines, in turn: 2.0 does a task in half the time.
        schedulers: jobs go to them in turn.
        latency: of messages.
        spec: what all jobs have in common but user, priority and weight; it has one shape.
        path_s: seconds from a job's arrival to its first start where nothing waits.
    """

    def __init__(
        self,
        kernel: Kernel,
        machines: int,
        slots: int,
        speeds: tuple[float, ...],
        schedulers: int,
        latency: Latency,
        spec: JobSpec,
        path_s: float = 0.0,
    ) -> None:
        self._kernel = kernel
        self._latency = latency
        self._spec = spec
        self._path_s = path_s
        #: (user, priority, weight) -> the specification of its jobs.
        self._specs: dict[tuple[str, int, float], JobSpec] = {}
        self._slots = slots
        self._turn = 0
        #: Messages said that place tasks or tell of them.
        self.messages = 0
        self.agents = [
            self._agent(f"m{at + 1}", speeds[at % len(speeds)]) for at in range(machines)
        ]
        self.schedulers = [self._scheduler(f"s{number}") for number in range(1, schedulers + 1)]
        self._nodes = {node.name: node for node in (*self.agents, *self.schedulers)}
        for scheduler in self.schedulers:
            for agent in self.agents:
                self._tell(scheduler, AgentKnown(agent.name))
        kernel.run(SETTLE_S)

    def arrive(self, job: SimJob) -> None:
        """A job comes to the next of the schedulers now."""
        scheduler = self.schedulers[self._turn % len(self.schedulers)]
        self._turn += 1
        number, count = job.number, len(job.durations)
        scheduler.jobs[number] = job
        self._tell(scheduler, Opened(number, self._spec_of(job)))
        self._tell(scheduler, Added(number, 1, 1, count))
        self._tell(scheduler, Sealed(number, count))

    def busy(self) -> dict[str, int]:
        """Slots that run tasks of each user."""
        users: dict[str, int] = {}
        for agent in self.agents:
            for chunk in agent.running.values():
                user = chunk.start.terms.user
                users[user] = users.get(user, 0) + 1
        return dict(sorted(users.items()))

    def kill(self, agent: Node) -> None:
        """SIGKILL: what it had said is on its way, what it knew is gone."""
        agent.is_up = False
        agent.running.clear()

    def start_again(self, agent: Node) -> None:
        """A new process of the same name."""
        if not agent.is_up:
            agent.starts += 1
            agent.core = self._core_of_agent(agent.name, agent.starts)
            agent.is_up = True
            agent.tick_at = float("inf")

    def _spec_of(self, job: SimJob) -> JobSpec:
        key = (job.user, job.priority, job.weight)
        spec = self._specs.get(key)
        if spec is None:
            shape = replace(self._spec.shapes[0], user=job.user, priority=job.priority)
            spec = replace(self._spec, user=job.user, weight=job.weight, shapes=(shape,))
            self._specs[key] = spec
        return spec

    # -- processes

    def _agent(self, name: str, speed: float) -> Node:
        node = Node(name, self._core_of_agent(name, 1))
        node.slow = 1.0 / speed
        return node

    def _core_of_agent(self, name: str, starts: int) -> AgentCore:
        return AgentCore(name, f"{name}.{starts}", self._slots, self._kernel.rng)

    def _scheduler(self, name: str) -> Node:
        core = SchedulerCore(name, f"{name}.1", 1, durable=False, rng=self._kernel.rng)
        return Node(name, core)

    def _tell(self, node: Node, event: Event) -> None:
        kernel = self._kernel
        actions = node.core.handle(event, kernel.now)
        for action in actions:
            if type(action) is Send:
                self._send(node, action)
            else:
                self._perform(node, action)
        wake_at = node.core.wake_at
        if wake_at is not None and wake_at < node.tick_at:
            node.tick_at = max(wake_at, kernel.now)
            kernel.at(node.tick_at, self._tick, (node, node.core))

    def _tick(self, argument: tuple[Node, Any]) -> None:
        node, core = argument
        if node.core is not core or node.tick_at > self._kernel.now:
            return  # Of an earlier process, or there was an earlier tick.
        node.tick_at = float("inf")
        if node.is_up:
            self._tell(node, Tick())

    # -- wires

    def _send(self, node: Node, action: Send) -> None:
        frame = action.frame
        message = frame.message
        if frame.seq and type(message) in _COUNTED:
            # Shape 0: that a job is over, whatever the policy.
            self.messages += not (type(message) is m.NoTask and not message.shape)
        # What arrives is a copy: neither side changes what the other holds.
        copy = m.Frame(frame.session, frame.seq, frame.ack, _copied(message))
        argument = (node, action.to, copy)
        kernel, latency = self._kernel, self._latency
        if latency.is_constant:
            kernel.soon(self._carried, argument)
            return
        at = max(kernel.now + latency.draw(kernel.rng), node.wire_free_at.get(action.to, 0.0))
        node.wire_free_at[action.to] = at
        kernel.at(at, self._carried, argument)

    def _carried(self, argument: tuple[Node, str, m.Frame]) -> None:
        sender, name, frame = argument
        node = self._nodes[name]
        if node.is_up:
            self._tell(node, Arrived(sender.name, frame))
        elif sender.is_up:
            # The bus says that nobody listens there (503).
            self._tell(sender, PeerGone(name))

    # -- work

    def _perform(self, node: Node, action: Action) -> None:
        match action:
            case Start():
                self._start(node, action)
            case JobEnded(number):
                node.jobs.pop(number).ended_at = self._kernel.now - SETTLE_S
            case Kill(slot, ids):
                self._kill_chunk(node, slot, ids)
            case Strike(slot):
                self._strike(node, slot)
            case _:
                return  # Records, payloads, reports: nothing of it exists here.

    def _start(self, node: Node, start: Start) -> None:
        now = self._kernel.now
        start.ids = list(start.ids)
        chunk = node.running[start.slot] = Chunk(start, now)
        job = self._nodes[start.scheduler].jobs[start.job]
        job.waited_s = max(job.waited_s, now - SETTLE_S - job.at - self._path_s)
        self._next(node, chunk)

    def _next(self, node: Node, chunk: Chunk) -> None:
        start = chunk.start
        job = self._nodes[start.scheduler].jobs.get(start.job)
        chunk.began = self._kernel.now
        duration = job.durations[start.ids[chunk.done] - 1] if job is not None else 0.0
        self._kernel.after(duration * node.slow, self._ended, (node, chunk, chunk.done))

    def _ended(self, argument: tuple[Node, Chunk, int]) -> None:
        node, chunk, done = argument
        start = chunk.start
        if node.running.get(start.slot) is not chunk or chunk.done != done:
            return  # Its machine died, or it was killed.
        self._end(node, chunk, _SUCCEEDED)

    def _end(self, node: Node, chunk: Chunk, state: int) -> None:
        start = chunk.start
        chunk.done += 1
        is_last = chunk.done == len(start.ids)
        if is_last:
            del node.running[start.slot]
        elapsed_s = self._kernel.now - chunk.began
        self._tell(node, Ended(start.slot, [state], elapsed_s, is_last))
        if not is_last and node.running.get(start.slot) is chunk:
            if start.ids[chunk.done] in chunk.killed:
                self._end(node, chunk, _CANCELLED)
            else:
                self._next(node, chunk)

    def _kill_chunk(self, node: Node, slot: int, ids: list[int]) -> None:
        chunk = node.running.get(slot)
        if chunk is None:
            return
        chunk.killed.update(ids)
        if chunk.start.ids[chunk.done] in chunk.killed:
            self._kernel.after(0.0, self._die, (node, chunk, chunk.done))

    def _die(self, argument: tuple[Node, Chunk, int]) -> None:
        node, chunk, done = argument
        if node.running.get(chunk.start.slot) is chunk and chunk.done == done:
            self._end(node, chunk, _CANCELLED)

    def _strike(self, node: Node, slot: int) -> None:
        chunk = node.running.get(slot)
        count = len(chunk.start.ids) - chunk.done - 1 if chunk is not None else 0
        if chunk is not None and count > 0:
            del chunk.start.ids[-count:]
            self._kernel.after(0.0, self._struck, (node, slot, count))

    def _struck(self, argument: tuple[Node, int, int]) -> None:
        node, slot, count = argument
        if node.is_up:
            self._tell(node, Struck(slot, count))


def _copied(message: m.Message) -> m.Message:
    if isinstance(message, m.Grant):
        return m.Grant(message.job, message.shape, message.term, message.ids[:], message.ns[:])
    return message
