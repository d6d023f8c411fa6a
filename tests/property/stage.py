"""A cluster of the real cores on simulated wires and disks, driven step by step.

Whoever drives it (hypothesis, or a seeded random walk) chooses what happens next: which frame
arrives, is lost, doubled or overtaken; who dies, comes back, stands still or is cut off; when a
disk has written, when a task ends and how. Nothing here decides by itself. Messages are copied
like on a wire, records are durable only when `commit` says so, and a killed durable scheduler
comes back with its ledger and nothing else.
"""

from collections import deque
from random import Random
from typing import Any

from tests import invariants as law
from tests.invariants import Row
from tests.property.nodes import (
    CANCELLED,
    CRASHED,
    RETURNED,
    SUCCEEDED,
    JobRecord,
    Node,
    Running,
    copied,
    restored,
)
from tests.property.seen import Seen

from covey.core.actions import (
    Action,
    JobEnded,
    Kill,
    Leave,
    Record,
    RecordAttempts,
    RecordJob,
    Resolve,
    Send,
    Start,
    Strike,
)
from covey.core.agent import AgentCore
from covey.core.events import (
    Added,
    AgentKnown,
    Arrived,
    BusDown,
    BusUp,
    CancelAsked,
    Confirm,
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
from covey.wire.messages import Finished, Frame, Recorded


class Stage:
    """Agents, schedulers, wires and a clock."""

    def __init__(self, rng: Random, agents: int = 3, slots: int = 2) -> None:
        self.rng = rng
        self.now = 100.0
        self.nodes: dict[str, Node] = {}
        self.wires: dict[tuple[str, str], deque[Frame]] = {}
        self.trace: list[str] = []
        self.seen = Seen()
        self.ran_well: dict[tuple[str, int], set[tuple[int, int, int]]] = {}
        self.slots = slots
        self._born = 0
        self._names = 0
        for _ in range(agents):
            self.birth_of_agent()

    # -- processes

    def _incarnation(self) -> str:
        self._born += 1
        return f"{self._born:032x}"

    def birth_of_agent(self, name: str = "") -> Node:
        """A new agent, or a dead one that is started anew."""
        self._names += not name
        name = name or f"a{self._names}"
        incarnation = self._incarnation()
        core = AgentCore(name, incarnation, self.slots, Random(self._born))
        node = self.nodes[name] = Node(name, core, True, incarnation)
        for other in self.schedulers():
            if other.is_up:
                self.tell(other, AgentKnown(name, labels=self.labels_of(name)))
        return node

    def birth_of_scheduler(self, *, durable: bool, old: Node | None = None) -> Node:
        """A new scheduler, or a durable one that is started anew from its ledger."""
        self._names += old is None
        name = old.name if old else f"s{self._names}"
        incarnation = self._incarnation()
        term = old.term + 1 if old else 1
        core = SchedulerCore(name, incarnation, term, durable, Random(self._born))
        node = Node(name, core, False, incarnation, term, durable)
        self.nodes[name] = node
        for agent in self.agents():
            self.tell(node, AgentKnown(agent.name, labels=self.labels_of(agent.name)))
        if old:
            node.jobs = old.jobs
            for number, record in node.jobs.items():
                if not record.is_over:
                    self.tell(node, restored(number, record))
        return node

    def labels_of(self, name: str) -> tuple[str, ...]:
        """The labels of a machine: an even number in its name has `even`, and all have `any`."""
        return ("any", "even") if int(name[1:]) % 2 == 0 else ("any",)

    def agents(self) -> list[Node]:
        """All agents, dead ones included."""
        return [node for node in self.nodes.values() if node.is_agent]

    def schedulers(self) -> list[Node]:
        """All schedulers, dead ones included."""
        return [node for node in self.nodes.values() if not node.is_agent]

    def live(self) -> list[Node]:
        """Processes that can do something now."""
        return [n for n in self.nodes.values() if n.is_up and not n.is_suspended]

    def kill(self, node: Node) -> None:
        """SIGKILL: what it had said is on its way, what it knew is gone."""
        node.is_up = False
        node.running.clear()
        node.disk.clear()

    def suspend(self, node: Node, is_suspended: bool) -> None:
        """SIGSTOP, SIGCONT."""
        node.is_suspended = is_suspended

    def set_bus(self, node: Node, is_up: bool) -> None:
        """The node's link to the bus goes down or comes up, and it notices."""
        if node.is_bus_up == is_up or not node.is_up:
            return
        node.is_bus_up = is_up
        self.tell(node, BusUp() if is_up else BusDown())

    # -- what the client does

    def submit(self, node: Node, spec: JobSpec) -> int:
        """A new job without tasks."""
        number = len(node.jobs) + 1
        node.jobs[number] = JobRecord(spec)
        self.tell(node, Opened(number, spec))
        return number

    def add(self, node: Node, number: int, count: int, shape: int = 1) -> None:
        """More tasks."""
        record = node.jobs[number]
        if number not in node.core.jobs:
            return  # It has ended; the client will hear of it.
        first = record.held + 1
        record.held += count
        record.spans.append((first, shape))
        self.tell(node, Added(number, shape, first, count))

    def seal(self, node: Node, number: int) -> None:
        """No more tasks."""
        record = node.jobs[number]
        if record.total is None:
            record.total = record.held
            self.tell(node, Sealed(number, record.held))

    def cancel(self, node: Node, number: int, ids: list[int]) -> None:
        """Some tasks, or the job."""
        if not ids:
            node.jobs[number].total = node.jobs[number].held
        self.tell(node, CancelAsked(number, ids))

    # -- wires

    def wire(self, source: str, target: str) -> deque[Frame]:
        """What is on its way from one node to another."""
        return self.wires.setdefault((source, target), deque())

    def busy_wires(self) -> list[tuple[str, str]]:
        """Wires with something on them."""
        return [key for key, frames in self.wires.items() if frames]

    def deliver(self, source: str, target: str, *, is_lost: bool = False) -> None:
        """The next frame of a wire arrives, or not."""
        frame = self.wire(source, target).popleft()
        node = self.nodes.get(target)
        if node is None or is_lost or self._is_deaf(node) or self.nodes[source].is_cut:
            return
        if node.is_suspended:
            self.wire(source, target).appendleft(frame)
            return
        if not node.is_up:
            sender = self.nodes[source]
            if sender.is_up and not sender.is_suspended and sender.is_bus_up:
                self.tell(sender, PeerGone(target))
            return
        self.tell(node, Arrived(source, frame))

    def _is_deaf(self, node: Node) -> bool:
        return node.is_cut or not node.is_bus_up

    # -- time and work

    def advance(self, seconds: float) -> None:
        """Time passes; nobody has looked at the clock yet."""
        self.now += seconds

    def next_wake(self) -> float | None:
        """When the next of the running processes wants to look at the clock."""
        times = [node.core.wake_at for node in self.live()]
        return min((at for at in times if at is not None), default=None)

    def tick(self, node: Node) -> None:
        """Wake a process if its time has come."""
        wake_at = node.core.wake_at
        if wake_at is not None and wake_at <= self.now:
            self.tell(node, Tick())

    def work(self, node: Node, slot: int, states: list[int], elapsed_s: float = 0.001) -> None:
        """The next tasks of a chunk end in these states (as many as are left)."""
        run = node.running[slot]
        left = run.start.ids[run.done :]
        states = states[: len(left)]
        out: list[int] = []
        for task, state in zip(left, states, strict=False):
            out.append(CANCELLED if task in run.killed and state != SUCCEEDED else state)
            if state == CRASHED:
                out += [RETURNED] * (len(left) - len(out))
                break
        for index, state in enumerate(out, start=run.done):
            start = run.start
            if state == SUCCEEDED:
                key = (start.scheduler, start.job)
                attempt = (start.ids[index], start.term, start.ns[index])
                self.ran_well.setdefault(key, set()).add(attempt)
        run.done += len(out)
        is_last = run.done >= len(run.start.ids)
        if is_last:
            del node.running[slot]
        self.tell(node, Ended(slot, out, elapsed_s, is_last))

    def commit(self, node: Node) -> None:
        """The oldest barrier of a durable scheduler is on disk: what stands behind it happens."""
        barrier, *rest = node.disk.popleft()
        self._write(node, barrier)
        self.perform(node, rest)

    # -- performing

    def tell(self, node: Node, event: Event) -> None:
        """Put an event to a core and perform what it answers; then its laws must hold."""
        actions = node.core.handle(event, self.now)
        _check(node.core)
        self.perform(node, actions)

    def perform(self, node: Node, actions: list[Action]) -> None:
        """All barriers of a list go to the disk at once, in order; in memory there are none."""
        behind: list[Action] | None = None
        for action in actions:
            if node.durable and isinstance(action, Record | RecordAttempts | RecordJob):
                behind = [action]
                node.disk.append(behind)
            elif behind is not None:
                assert not isinstance(action, Send), "a frame behind a barrier would be overtaken"
                behind.append(action)
            else:
                self._do(node, action)

    def _do(self, node: Node, action: Action) -> None:
        match action:
            case Send(to, frame):
                self._send(node, to, frame)
            case Record() | RecordAttempts() | RecordJob():
                self._write(node, action)
            case Resolve(job, ids, states):
                self._resolve(node.jobs[job], ids, states)
            case JobEnded(job, state):
                record = node.jobs[job]
                record.is_over = True
                record.state = state
                law.each_item_recorded_once((row.task for row in record.rows), record.held)
            case Confirm():
                self.tell(node, action)
            case _:
                self._do_at_agent(node, action)

    def _do_at_agent(self, node: Node, action: Action) -> None:
        match action:
            case Start():
                self._start(node, action)
            case Kill(slot, ids):
                self.seen.killed(node, slot)
                if slot in node.running:
                    node.running[slot].killed.update(ids)
            case Strike(slot):
                self._strike(node, slot)
            case Leave():
                self.kill(node)
            case _:
                return  # Payloads, reports, followers: nothing of it exists here.

    def _resolve(self, record: JobRecord, ids: list[int], states: list[int]) -> None:
        for task, state in zip(ids, states, strict=True):
            assert task not in record.told, f"task {task} was told twice"
            record.told[task] = state

    def _send(self, node: Node, to: str, frame: Frame) -> None:
        message = frame.message
        self.seen.sent(node, to, frame)
        if self._is_deaf(node):
            return
        if isinstance(message, Recorded):
            self._recorded_is_durable(node, to, message)
        self.wire(node.name, to).append(copied(frame))

    def _recorded_is_durable(self, node: Node, to: str, message: Recorded) -> None:
        """An agent is told to forget a report only when nobody will ask for it again."""
        agent = self.nodes[to]
        if not agent.is_up or not node.durable:
            return
        peer = agent.core._peers.get(node.name)
        if peer is None:
            return
        for number in message.batches:
            batch: Finished | None = peer.batches.get(number)
            record = node.jobs.get(batch.job) if batch else None
            if batch is None or record is None or record.is_over:
                continue
            written = {row.task for row in record.rows}
            for task, state in zip(batch.ids, batch.states, strict=True):
                if state == SUCCEEDED:
                    assert task in written, f"{task} is acknowledged and not on disk"

    def _start(self, node: Node, start: Start) -> None:
        assert start.slot not in node.running, f"slot {start.slot} of {node.name} is not free"
        ids, ns = list(start.ids), list(start.ns)
        self.seen.begun(node, start)
        node.running[start.slot] = Running(
            Start(
                start.slot, start.scheduler, start.job, start.shape, start.terms, start.term,
                ids, ns,
            )
        )  # fmt: skip

    def _strike(self, node: Node, slot: int) -> None:
        run = node.running.get(slot)
        if run is None:
            return
        count = max(0, len(run.start.ids) - run.done - 1)
        if count:
            del run.start.ids[-count:], run.start.ns[-count:]
        self.tell(node, Struck(slot, count))

    def _write(self, node: Node, barrier: Action) -> None:
        match barrier:
            case Record(job, term, ids, ns, states):
                if not ids:
                    return
                record = node.jobs[job]
                record.rows += map(Row, ids, [term] * len(ids), ns, states)
                record.high_water = max(record.high_water, *ids)
            case RecordAttempts(job, _, ids, _, states):
                law.what_goes_back_spends_no_start(states)
                starts = node.jobs[job].starts
                for task in ids:
                    starts[task] = starts.get(task, 0) + 1
            case RecordJob(job, state):
                node.jobs[job].state = state
            case _:
                raise AssertionError(f"{barrier} is no barrier")


def _check(core: Any) -> None:
    core._check()
