"""Schedulers and agents under every fault that hypothesis can think of, with the smallest example.

The same stage as the random walk: there thousands of schedules are run fast, here a failure is
shrunk to the few steps that matter.
"""

from random import Random

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.property.nodes import CRASHED, FAILED, SUCCEEDED, Node, a_spec
from tests.property.world import World

from covey.core.events import DrainAsked
from covey.model.job import HaltPolicy, RetryPolicy, Shape
from covey.model.policy import POLICIES

#: Picks one of what there is; taken modulo.
PICK = st.integers(0, 31)
HALTS = st.sampled_from(
    [
        None,
        HaltPolicy("soon", "fail", count=2),
        HaltPolicy("now", "fail", count=1),
        HaltPolicy("now", "done", percent=50.0),
    ]
)


class Cluster(RuleBasedStateMachine):
    """Three agents, one scheduler to begin with; teardown heals, settles and judges."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(Random(0), agents=3)
        self.world.birth_of_scheduler(durable=True)
        self.world.birth_of_scheduler(durable=False)

    def live(self, *, is_agent: bool) -> list[Node]:
        return [node for node in self.world.live() if node.is_agent is is_agent]

    @rule(pick=PICK, halt=HALTS, starts=st.sampled_from([1, 2, 0]), count=st.integers(1, 60))
    def submit(self, pick: int, halt: HaltPolicy | None, starts: int, count: int) -> None:
        nodes = [node for node in self.live(is_agent=False) if len(node.jobs) < 3]
        if nodes:
            node = nodes[pick % len(nodes)]
            number = self.world.submit(node, a_spec(retry=RetryPolicy(starts), halt=halt))
            self.world.add(node, number, count)

    @rule(
        pick=PICK,
        policy=st.sampled_from(POLICIES),
        ratio=st.sampled_from([0, 1.0, 2.0]),
        count=st.integers(1, 40),
        is_multi_get=st.booleans(),
        priority=st.integers(0, 1),
    )
    def submit_by_policy(
        self, pick: int, policy: str, ratio: float, count: int, is_multi_get: bool, priority: int
    ) -> None:
        nodes = [node for node in self.live(is_agent=False) if len(node.jobs) < 3]
        if nodes:
            node = nodes[pick % len(nodes)]
            shape = Shape(priority=priority, may_preempt=True, is_spread=pick % 5 == 0)
            knobs = {"probe_ratio": ratio, "is_multi_get": is_multi_get}
            number = self.world.submit(node, a_spec(shapes=(shape,), policy=policy, **knobs))
            self.world.add(node, number, count)

    @rule(pick=PICK, slots=st.integers(0, 2), count=st.integers(1, 20), fails=st.booleans())
    def submit_to_one_machine(self, pick: int, slots: int, count: int, fails: bool) -> None:
        nodes = [node for node in self.live(is_agent=False) if len(node.jobs) < 3]
        if nodes:
            node = nodes[pick % len(nodes)]
            shape = Shape(slots=slots, machines=(f"a{pick % 3 + 1}",))
            on_lost = "fail" if fails else "rerun"
            number = self.world.submit(node, a_spec(shapes=(shape,), on_lost=on_lost))
            self.world.add(node, number, count)

    @rule(pick=PICK, agents=st.sets(st.sampled_from(["a1", "a2", "a3"]), max_size=2))
    def let_agents_finish_up(self, pick: int, agents: set[str]) -> None:
        if nodes := self.live(is_agent=False):
            self.world.drain(nodes[pick % len(nodes)], sorted(agents))

    @rule(pick=PICK, count=st.integers(0, 300))
    def add_or_seal(self, pick: int, count: int) -> None:
        jobs = [
            (node, number)
            for node in self.live(is_agent=False)
            for number, record in node.jobs.items()
            if record.total is None and not record.is_over
        ]
        if jobs and count:
            self.world.add(*jobs[pick % len(jobs)], count)
        elif jobs:
            self.world.seal(*jobs[pick % len(jobs)])

    @rule(pick=PICK, ids=st.lists(st.integers(1, 40), max_size=3))
    def cancel(self, pick: int, ids: list[int]) -> None:
        jobs = [(n, j) for n in self.live(is_agent=False) for j in n.core.jobs]
        if jobs:
            self.world.cancel(*jobs[pick % len(jobs)], ids)

    @precondition(lambda self: self.world.busy_wires())
    @rule(pick=PICK, count=st.integers(1, 20), is_lost=st.booleans())
    def deliver(self, pick: int, count: int, is_lost: bool) -> None:
        wires = self.world.busy_wires()
        wire = wires[pick % len(wires)]
        for _ in range(min(1 if is_lost else count, len(self.world.wire(*wire)))):
            self.world.deliver(*wire, is_lost=is_lost)

    @rule(rounds=st.integers(1, 4))
    def deliver_everything(self, rounds: int) -> None:
        for _ in range(rounds):
            for wire in self.world.busy_wires():
                for _ in range(len(self.world.wire(*wire))):
                    self.world.deliver(*wire)

    @precondition(lambda self: self.world.busy_wires())
    @rule(pick=PICK, at=PICK, is_doubled=st.booleans())
    def double_or_overtake(self, pick: int, at: int, is_doubled: bool) -> None:
        wires = self.world.busy_wires()
        frames = self.world.wire(*wires[pick % len(wires)])
        frame = frames[0] if is_doubled else frames.popleft()
        frames.insert(at % (len(frames) + 1), frame)

    @rule(pick=PICK, states=st.lists(st.sampled_from([SUCCEEDED, FAILED, CRASHED]), min_size=1))
    def work(self, pick: int, states: list[int]) -> None:
        slots = [(node, slot) for node in self.world.live() for slot in node.running]
        if slots:
            self.world.work(*slots[pick % len(slots)], states)

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.05, 1.0, 3.5, 30.0]))
    def pass_time(self, seconds: float) -> None:
        wake = self.world.next_wake()
        due = max(0.0, (wake or 0.0) - self.world.now)
        self.world.advance(seconds or due)
        for node in self.world.live():
            self.world.tick(node)

    @rule(pick=PICK)
    def write(self, pick: int) -> None:
        nodes = [node for node in self.world.live() if node.disk]
        if nodes:
            self.world.commit(nodes[pick % len(nodes)])

    @rule(pick=PICK)
    def kill(self, pick: int) -> None:
        nodes = [node for node in self.world.nodes.values() if node.is_up]
        if nodes:
            self.world.kill(nodes[pick % len(nodes)])

    @rule(pick=PICK)
    def start_anew(self, pick: int) -> None:
        dead = [n for n in self.world.nodes.values() if not n.is_up and (n.is_agent or n.durable)]
        if not dead:
            return
        node = dead[pick % len(dead)]
        if node.is_agent:
            self.world.birth_of_agent(node.name)
        else:
            self.world.birth_of_scheduler(durable=True, old=node)

    @rule(pick=PICK)
    def suspend_or_resume(self, pick: int) -> None:
        nodes = list(self.world.nodes.values())
        node = nodes[pick % len(nodes)]
        self.world.suspend(node, not node.is_suspended)

    @rule(pick=PICK)
    def cut_or_mend(self, pick: int) -> None:
        nodes = list(self.world.nodes.values())
        node = nodes[pick % len(nodes)]
        node.is_cut = not node.is_cut

    @rule()
    def cut_half_of_the_agents(self) -> None:
        for node in self.world.agents()[:2]:
            node.is_cut = True

    @rule(pick=PICK)
    def bus_goes_or_comes(self, pick: int) -> None:
        nodes = self.world.live()
        if nodes:
            node = nodes[pick % len(nodes)]
            self.world.set_bus(node, not node.is_bus_up)

    @rule(pick=PICK)
    def drain(self, pick: int) -> None:
        if nodes := self.live(is_agent=True):
            self.world.tell(nodes[pick % len(nodes)], DrainAsked())

    @invariant()
    def the_laws_hold(self) -> None:
        self.world.check()

    def teardown(self) -> None:
        self.world.heal()
        self.world.settle()
        self.world.check_ended()


TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
