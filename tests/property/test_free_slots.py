"""What lasts must not hide a free slot: no task waits while a machine could run it.

The other walks let every task end, and what ends tells its scheduler which slots are free. Here the
last tasks last for ever, as a night's work does: as many as there are slots. However their messages
were mixed with those of the short ones before them, in the end each slot runs one.
"""

from random import Random

import pytest
from tests import invariants as law
from tests.property.nodes import SUCCEEDED, Node, Running, a_spec
from tests.property.world import World

from covey.model.job import Shape

#: The shape of tasks that end, and of those that do not.
SHORT, LONG = 1, 2
SHORT_TASKS = 20
#: Seconds in which slots must have been found: a few heartbeats, and a machine that was silent.
FOUND_MAX_S = 30.0
#: Steps that the short tasks may take; some are still out then, or not.
STEPS_MAX = 3000
#: More of those in which a task waited beside a free slot as long as all others ran.
FAILED_ONCE = (61, 99, 134, 163, 212, 256)


def _runs(world: World, shape: int) -> list[tuple[Node, int, Running]]:
    return [
        (node, slot, run)
        for node in world.agents()
        for slot, run in node.running.items()
        if run.start.shape == shape
    ]


def _step(world: World, rng: Random) -> None:
    """A frame arrives, short tasks end, some time passes, or all stand still for a while."""
    wires, short = world.busy_wires(), _runs(world, SHORT)
    dice = rng.random()
    if wires and dice < 0.6:
        world.deliver(*rng.choice(wires))
    elif short and dice < 0.8:
        node, slot, run = rng.choice(short)
        ended = [SUCCEEDED] * rng.randint(1, len(run.start.ids))
        world.work(node, slot, ended, rng.choice([0.0002, 0.001, 0.02]))
    elif dice < 0.99:
        world.advance(rng.choice([0.0001, 0.001, 0.01, 0.05]))
        for node in world.live():
            if rng.random() < 0.7:
                world.tick(node)
    else:
        world.advance(rng.uniform(0.0, 2.0))
        for node in world.live():
            world.tick(node)


def _quieten(world: World) -> None:
    """All that is on its way arrives, short tasks end, clocks go on; long tasks run."""

    def end_short() -> None:
        for node, slot, run in _runs(world, SHORT):
            world.work(node, slot, [SUCCEEDED] * len(run.start.ids))

    world.pass_time(FOUND_MAX_S, end_short)


def _cluster(rng: Random) -> tuple[World, Node]:
    """Some agents and the scheduler that has the tasks; others may be there that have none."""
    world = World(rng, agents=rng.choice([1, 2, 3, 5]))
    scheduler = world.birth_of_scheduler(durable=False)
    for durable in (False, True):
        if rng.random() < 0.5:
            world.birth_of_scheduler(durable=durable)
    for _ in range(rng.randint(0, 60)):
        _step(world, rng)
    return world, scheduler


def _add(
    world: World, rng: Random, to: tuple[Node, int, int], count: int, steps: list[int]
) -> None:
    """Tasks come one by one: to a scheduler, of a job and a shape."""
    scheduler, job, shape = to
    for _ in range(count):
        world.add(scheduler, job, 1, shape)
        for _ in range(rng.choice(steps)):
            _step(world, rng)


@pytest.mark.parametrize("seed", [*range(60), *FAILED_ONCE])
def test_each_slot_is_found_for_tasks_that_last(seed: int) -> None:
    rng = Random(seed)
    world, scheduler = _cluster(rng)
    job = world.submit(scheduler, a_spec(shapes=(Shape(), Shape(context="another"))))
    _add(world, rng, (scheduler, job, SHORT), SHORT_TASKS, [0, 1, 2, 3])
    for _ in range(rng.choice([0, STEPS_MAX, STEPS_MAX, STEPS_MAX])):
        _step(world, rng)
        if scheduler.core.jobs[job].ended == SHORT_TASKS:
            break
    slots = len(world.agents()) * world.slots
    _add(world, rng, (scheduler, job, LONG), slots, [0, 0, 1, 3])
    _quieten(world)
    law.no_task_waits_beside_a_free_slot(len(_runs(world, LONG)), slots, world.describe())
