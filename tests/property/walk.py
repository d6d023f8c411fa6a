"""A seeded random walk through the faults of a cluster: fast, so that thousands of them run."""

from dataclasses import replace
from random import Random

from tests.property.nodes import CRASHED, FAILED, SUCCEEDED, Node, a_spec
from tests.property.world import World

from covey.core.events import DrainAsked, TailAsked
from covey.model.job import HaltPolicy, JobSpec, RetryPolicy, Shape
from covey.model.policy import LATE_BINDING, POLICIES

#: Most jobs and schedulers of a walk; more only make it slower.
JOBS_MAX = 4
SCHEDULERS_MAX = 3


def a_random_spec(rng: Random, agents: list[str]) -> JobSpec:
    """A job whose policies are drawn."""
    halts = (
        None, None, None,
        HaltPolicy("soon", "fail", count=2), HaltPolicy("now", "fail", count=1),
        HaltPolicy("now", "success", count=3), HaltPolicy("soon", "done", percent=50.0),
    )  # fmt: skip
    second = Shape(
        kind="callable",
        slots=rng.choice((1, 1, 2, 0)),
        limit=rng.choice((0, 0, 1)),
        may_chunk=rng.random() < 0.7,
        priority=rng.choice((0, 0, 1)),
        may_preempt=rng.random() < 0.5,
        is_spread=rng.random() < 0.2,
    )
    on_lost = rng.choice(("rerun", "rerun", "rerun", "wait", "fail"))
    # Where jobs wait for their machines, there must be some.
    names = [*agents, "nowhere"] if on_lost == "fail" else agents
    pins = tuple(rng.sample(names, min(len(names), rng.choice((1, 1, 2)))))
    third = Shape(slots=rng.choice((0, 0, 1)), machines=pins)
    fourth = Shape(
        labels=rng.choice(((), ("any",), ("even",))) if len(agents) > 1 else (),
        avoid=rng.choice(((), ("a1",), ("@even",))) if len(agents) > 1 else (),
        priority=rng.choice((0, 2)),
        may_preempt=rng.random() < 0.5,
        is_spread=rng.random() < 0.3,
        slots=rng.choice((1, 1, 2)),
    )
    if fourth.labels == ("even",):
        fourth = replace(fourth, avoid=())
    return a_spec(
        shapes=(Shape(), second, third, fourth),
        retry=RetryPolicy(rng.choice((1, 1, 3, 0)), rng.choice((5, 5, 1))),
        halt=rng.choice(halts),
        on_lost=on_lost,
        start_delay_s=rng.choice((0.0, 0.0, 0.0, 0.5)),
        policy=rng.choice((LATE_BINDING, LATE_BINDING, LATE_BINDING, *POLICIES)),
        probe_ratio=rng.choice((2.0, 2.0, 1.0, 1.05, 3.5, 0)),
        has_cancellation=rng.random() < 0.8,
        is_multi_get=rng.random() < 0.6,
    )


class Walk:
    """One walk: `steps` random steps, then everything heals and must end."""

    def __init__(self, seed: int, steps: int = 150) -> None:
        self.rng = Random(seed)
        self.world = World(self.rng, agents=self.rng.choice((1, 2, 3, 5)))
        self.steps = steps
        self.log: list[str] = []
        self._choices = [
            (self._deliver, 30), (self._work, 12), (self._pass_time, 10), (self._commit, 8),
            (self._submit, 2), (self._add, 3), (self._lose, 2), (self._double, 2),
            (self._reorder, 2), (self._kill, 1), (self._revive, 3), (self._suspend, 1),
            (self._resume, 2), (self._cut, 1), (self._mend, 3), (self._cancel, 1),
            (self._bus, 1), (self._half, 0.2), (self._seal, 1), (self._long_time, 0.3),
            (self._away, 1), (self._finish_up, 1),
            (self._drain, 0.1), (self._tail, 0.3), (self._ping, 0.3), (self._goodbye, 0.1),
        ]  # fmt: skip

    def run(self, check_every: int = 10) -> None:
        """Walk, heal, settle; the laws hold at every moment that is looked at."""
        world = self.world
        world.birth_of_scheduler(durable=self.rng.random() < 0.6)
        self._submit()
        steps, weights = zip(*self._choices, strict=True)
        for index in range(self.steps):
            step = self.rng.choices(steps, weights)[0]
            self.log.append(step.__name__)
            step()
            if index % check_every == 0:
                world.check()
        world.heal()
        world.settle()
        world.check_ended()

    def _any(self, nodes: list[Node]) -> Node | None:
        return self.rng.choice(nodes) if nodes else None

    def _deliver(self) -> None:
        for _ in range(self.rng.randint(1, 8)):
            wires = self.world.busy_wires()
            if wires:
                self.world.deliver(*self.rng.choice(wires))

    def _lose(self) -> None:
        if wires := self.world.busy_wires():
            self.world.deliver(*self.rng.choice(wires), is_lost=True)

    def _double(self) -> None:
        if wires := self.world.busy_wires():
            frames = self.world.wire(*self.rng.choice(wires))
            frames.insert(self.rng.randint(0, len(frames)), frames[0])

    def _reorder(self) -> None:
        if wires := self.world.busy_wires():
            self.world.wire(*self.rng.choice(wires)).rotate(1)

    def _work(self) -> None:
        nodes = [n for n in self.world.live() if n.running]
        if node := self._any(nodes):
            slot = self.rng.choice(list(node.running))
            count = self.rng.choice((1, 1, 2, 300))
            weights = (12, 2, 1)
            states = self.rng.choices((SUCCEEDED, FAILED, CRASHED), weights, k=count)
            self.world.work(node, slot, states, self.rng.choice((0.0001, 0.001, 0.5)))

    def _pass_time(self) -> None:
        wake = self.world.next_wake()
        if wake is not None and self.rng.random() < 0.7:
            self.world.advance(max(0.0, wake - self.world.now))
        else:
            self.world.advance(self.rng.choice((0.001, 0.05, 0.3)))
        self._tick()

    def _long_time(self) -> None:
        self.world.advance(self.rng.choice((2.0, 20.0, 700.0)))
        self._tick()

    def _tick(self) -> None:
        for node in self.world.live():
            self.world.tick(node)

    def _commit(self) -> None:
        nodes = [n for n in self.world.live() if n.disk]
        if node := self._any(nodes):
            for _ in range(self.rng.randint(1, len(node.disk))):
                if node.disk:
                    self.world.commit(node)

    def _schedulers(self) -> list[Node]:
        return [n for n in self.world.live() if not n.is_agent]

    def _submit(self) -> None:
        if len(self.world.schedulers()) < SCHEDULERS_MAX and self.rng.random() < 0.2:
            self.world.birth_of_scheduler(durable=self.rng.random() < 0.5)
        node = self._any(self._schedulers())
        if node and len(node.jobs) < JOBS_MAX:
            names = [agent.name for agent in self.world.agents()]
            number = self.world.submit(node, a_random_spec(self.rng, names))
            self.world.add(node, number, self.rng.choice((1, 3, 40)))
            if self.rng.random() < 0.7:
                self.world.seal(node, number)

    def _open_jobs(self) -> list[tuple[Node, int]]:
        return [
            (node, number)
            for node in self._schedulers()
            for number, record in node.jobs.items()
            if record.total is None and record.state == "running"
        ]

    def _add(self) -> None:
        if jobs := self._open_jobs():
            node, number = self.rng.choice(jobs)
            shape = self.rng.choice((1, 2, 3, 4))
            self.world.add(node, number, self.rng.choice((1, 5, 300)), shape)

    def _seal(self) -> None:
        if jobs := self._open_jobs():
            self.world.seal(*self.rng.choice(jobs))

    def _cancel(self) -> None:
        jobs = [(n, j) for n in self._schedulers() for j, r in n.jobs.items() if not r.is_over]
        if jobs:
            node, number = self.rng.choice(jobs)
            held = node.jobs[number].held
            ids = [self.rng.randint(1, held + 1) for _ in range(self.rng.randint(1, 5))]
            self.world.cancel(node, number, ids if self.rng.random() < 0.7 else [])

    def _kill(self) -> None:
        nodes = [n for n in self.world.nodes.values() if n.is_up]
        if node := self._any(nodes):
            self.world.kill(node)

    def _revive(self) -> None:
        dead = [n for n in self.world.nodes.values() if not n.is_up]
        node = self._any([n for n in dead if n.is_agent or n.durable])
        if node is None:
            return
        if node.is_agent:
            self.world.birth_of_agent(node.name)
        else:
            self.world.birth_of_scheduler(durable=True, old=node)

    def _suspend(self) -> None:
        if node := self._any(self.world.live()):
            self.world.suspend(node, True)

    def _resume(self) -> None:
        nodes = [n for n in self.world.nodes.values() if n.is_suspended]
        if node := self._any(nodes):
            self.world.suspend(node, False)

    def _cut(self) -> None:
        if node := self._any(list(self.world.nodes.values())):
            node.is_cut = True

    def _half(self) -> None:
        agents = self.world.agents()
        for node in self.rng.sample(agents, len(agents) // 2 + 1):
            node.is_cut = True

    def _away(self) -> None:
        """An agent that runs something is cut off for seconds, while the others go on."""
        node = self._any([n for n in self.world.agents() if n.is_up and n.running])
        if node is None:
            return
        node.is_cut = True
        for _ in range(self.rng.randint(2, 6)):
            self.world.advance(1.0)
            self._tick()
            for _ in range(3):
                for wire in self.world.busy_wires():
                    for _ in range(len(self.world.wire(*wire))):
                        self.world.deliver(*wire)
        if self.rng.random() < 0.8:
            node.is_cut = False
            for _ in range(2):
                self.world.advance(1.0)
                self._tick()
                for wire in self.world.busy_wires():
                    self.world.deliver(*wire)

    def _drain(self) -> None:
        if node := self._any([n for n in self.world.live() if n.is_agent]):
            self.world.tell(node, DrainAsked())

    def _finish_up(self) -> None:
        """A scheduler is told that some agents drain, or that none does."""
        if node := self._any(self._schedulers()):
            names = [agent.name for agent in self.world.agents()]
            self.world.drain(node, self.rng.sample(names, self.rng.choice((0, 0, 1))))

    def _tail(self) -> None:
        jobs = [(n, j) for n in self._schedulers() for j in n.jobs]
        if jobs:
            node, number = self.rng.choice(jobs)
            task = self.rng.randint(0, 5)
            self.world.tell(node, TailAsked(number, task, self.rng.random() < 0.7))

    def _ping(self) -> None:
        if node := self._any(self._schedulers()):
            self.world.perform(node, node.core.ping_all(self.world.now))

    def _goodbye(self) -> None:
        nodes = [n for n in self._schedulers() if not n.durable]
        if node := self._any(nodes):
            self.world.perform(node, node.core.farewell())
            self.world.kill(node)

    def _mend(self) -> None:
        nodes = [n for n in self.world.nodes.values() if n.is_cut]
        if node := self._any(nodes):
            node.is_cut = False

    def _bus(self) -> None:
        if node := self._any(self.world.live()):
            self.world.set_bus(node, not node.is_bus_up)
