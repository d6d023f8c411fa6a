"""An urgent task that may preempt does not wait where a less urgent one runs, under any policy.

All slots run tasks that last for ever, of a job of any policy, and more of them wait. Then urgent
tasks come that may stop them. However the messages are mixed: an urgent task runs where it is
bound, or where one of its reservations is, and no more is stopped than that needs; what was stopped
goes back and runs again. (Policies count what waits at a machine, urgent or not: several urgent
tasks may meet at one machine and wait there for each other.)
"""

from random import Random

import pytest
from tests.property.nodes import CANCELLED, SUCCEEDED, Node, Running, a_spec
from tests.property.world import World

from covey.model.job import Shape
from covey.model.policy import POLICIES

URGENT = Shape(priority=5, may_preempt=True)
#: Seconds in which everything that can be stopped for urgent tasks was stopped.
SETTLED_MAX_S = 30.0
#: Tasks for each slot: enough for all, wherever a policy that looks at nothing binds them.
TASKS_EACH = 6


def _runs(world: World, priority: int) -> list[tuple[Node, int, Running]]:
    return [
        (node, slot, run)
        for node in world.agents()
        for slot, run in node.running.items()
        if run.start.terms.priority == priority
    ]


def _end_stopped(world: World) -> int:
    """What was stopped ends; how many did."""
    stopped = [(node, slot, run) for node, slot, run in _runs(world, 0) if run.killed]
    for node, slot, run in stopped:
        world.work(node, slot, [CANCELLED] * len(run.start.ids))
    return len(stopped)


def _step(world: World, rng: Random) -> int:
    """A frame arrives, something that was stopped ends, or time passes."""
    wires, dice = world.busy_wires(), rng.random()
    if wires and dice < 0.7:
        world.deliver(*rng.choice(wires))
    elif dice < 0.8:
        return _end_stopped(world)
    else:
        world.advance(rng.choice([0.0001, 0.001, 0.01, 0.05]))
        for node in world.live():
            world.tick(node)
    return 0


def _settled(world: World) -> int:
    """All that is on its way arrives; what is stopped ends, nothing else. How many did."""
    stopped: list[int] = []
    world.pass_time(SETTLED_MAX_S, lambda: stopped.append(_end_stopped(world)))
    return sum(stopped)


def _waits(node: Node, *, pending: int) -> bool:
    """Whether urgent tasks are bound to an agent, or have reservations there, and do not run."""
    works = [work for peer in node.core._peers.values() for work in peer.works.values()]
    urgent = [work for work in works if work.priority == URGENT.priority]
    return any(work.queued or (pending and work.level) for work in urgent)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", range(8))
def test_an_urgent_task_stops_others_wherever_its_policy_binds_it(policy: str, seed: int) -> None:
    rng = Random(f"{seed} {policy}")
    world = World(rng, agents=rng.choice([1, 2, 3, 5]))
    slots = len(world.agents()) * world.slots
    low, high = (world.birth_of_scheduler(durable=False) for _ in range(2))
    high = rng.choice([low, high])
    below = world.submit(low, a_spec(shapes=(Shape(),), policy=rng.choice(POLICIES)))
    _settled(world)
    for _ in range(slots * TASKS_EACH):
        world.add(low, below, 1)
    _settled(world)
    assert len(_runs(world, 0)) == slots, world.describe()
    above = world.submit(high, a_spec(shapes=(URGENT,), policy=policy))
    count, stopped = rng.randint(1, slots), 0
    for _ in range(count):
        world.add(high, above, 1)
        stopped += sum(_step(world, rng) for _ in range(rng.choice([0, 1, 5])))
    stopped += _settled(world)
    urgent = _runs(world, URGENT.priority)
    pending = high.core.jobs[above].waiting
    for node in world.agents():
        beside = [run for at, _, run in _runs(world, 0) if at is node]
        assert not (beside and _waits(node, pending=pending)), world.describe()
    assert count > 1 or len(urgent) == count, world.describe()
    assert stopped == len(urgent), "more was stopped, or less, than was needed"
    assert len(_runs(world, 0)) == slots - len(urgent), world.describe()
    # Urgent ones end; what went back has lost nothing.
    for node, slot, run in urgent:
        world.work(node, slot, [SUCCEEDED] * len(run.start.ids))
    world.heal()
    world.settle()
    world.check_ended()
    rows = low.jobs[below].rows
    assert {row.state for row in rows} == {SUCCEEDED}
    assert len(rows) == slots * TASKS_EACH
