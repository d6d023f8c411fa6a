"""2,000 items while parts are killed and stand still at random: every item is recorded once.

Each seed is one schedule. A seed that ever failed stays in seeds.txt; more of them are tried with
COVEY_FAULT_SEEDS=100-140 (a range). Faults are placed by how many items are done, not by time, so
that a schedule means much the same on a slow machine.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.faults.laws import every_item_is_recorded_once, numbers, only_these_were_hurt

from covey.testing import faults
from covey.testing.cluster import Call, Lab
from covey.testing.faults import ClusterParts

ITEMS = 2000
FAULTS = 6
#: Losing its machine this often makes a task fail as poison (5): fewer agents than that are killed.
AGENT_KILLS_MAX = 3
FROZEN_MAX_S = 5.0

Fault = Callable[[], None]


def seeds() -> list[int]:
    """Those that failed once, a few more, or the range that was asked for."""
    if asked := os.environ.get("COVEY_FAULT_SEEDS"):
        first, _, last = asked.partition("-")
        return list(range(int(first), int(last or first) + 1))
    lines = Path(__file__).with_name("seeds.txt").read_text().splitlines()
    return sorted({1, 2, *(int(line.split()[0]) for line in lines if line[:1].isdigit())})


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", seeds())
def test_a_private_run_loses_and_doubles_nothing(lab: Lab, seed: int) -> None:
    rng = random.Random(seed)
    run = lab.map("-j2", "--retries", "4", "echo {}", stdin=numbers(ITEMS))
    killed = _schedule(lab, rng, _private_faults(run, rng), kills_max=AGENT_KILLS_MAX)
    run.wait()
    rows = every_item_is_recorded_once(lab, ITEMS)
    only_these_were_hurt(rows, most=2 * killed)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", seeds())
def test_a_cluster_loses_and_doubles_nothing(lab: Lab, seed: int) -> None:
    rng = random.Random(seed)
    with lab.cluster(machines=3) as cluster:
        run = lab.map("--retries", "4", "echo {}", stdin=numbers(ITEMS))
        killed = _schedule(lab, rng, _cluster_faults(lab, cluster, run, rng), AGENT_KILLS_MAX)
        run.wait()
        lab("attach", "1")
        rows = every_item_is_recorded_once(lab, ITEMS)
        only_these_were_hurt(rows, most=2 * killed)


def _schedule(lab: Lab, rng: random.Random, menu: dict[str, Fault], kills_max: int) -> int:
    """Let FAULTS happen while the job runs; returns how many killed what runs tasks."""
    killed = 0
    for at in sorted(rng.sample(range(50, ITEMS - 200), FAULTS)):
        lab.await_done(1, at)
        name = rng.choice(sorted(menu))
        if name in ("child", "agent", "zygote"):
            if killed == kills_max:
                continue
            killed += 1
        print(f"at {at}: {name}")  # noqa: T201 - shown when it fails
        menu[name]()
    return killed


def _private_faults(run: Call, rng: random.Random) -> dict[str, Fault]:
    def freeze() -> None:
        root = run.parts.root
        if root is not None:
            with faults.frozen(*faults.tree(root.pid)):
                faults.last(rng.uniform(0.2, FROZEN_MAX_S))

    def kill_child() -> None:
        children = run.parts.children
        if children:
            faults.kill(rng.choice(children))

    return {
        "child": kill_child,
        "zygote": lambda: _done(faults.kill(run.parts.zygote)),
        "agent": lambda: _done(faults.kill(run.parts.root)),
        "server": lambda: _done(faults.kill(run.parts.server)),
        "freeze": freeze,
    }


def _cluster_faults(
    lab: Lab, cluster: ClusterParts, run: Call, rng: random.Random
) -> dict[str, Fault]:
    def kill_child() -> None:
        children = [child for name in _names() for child in cluster.children(name)]
        if children:
            faults.kill(rng.choice(children))

    def kill_agent() -> None:
        faults.kill(rng.choice(cluster.agents or [None]))
        lab("up", "--local")

    def kill_head() -> None:
        faults.kill(cluster.head)
        lab.up(machines=3)

    def freeze() -> None:
        agent = rng.choice(cluster.agents or [None])
        if agent is not None:
            with faults.frozen(*faults.tree(agent.pid)):
                faults.last(rng.uniform(0.2, FROZEN_MAX_S))

    return {
        "child": kill_child,
        "agent": kill_agent,
        "head": kill_head,
        "server": lambda: _done(faults.kill(cluster.server)),
        "freeze": freeze,
        "cut": lambda: _done(lab("chaos", "cut", rng.choice(_names()), "--for", "2s")),
        "client": lambda: _done(faults.stop(run.parts.client) and faults.go_on(run.parts.client)),
    }


def _names() -> list[str]:
    return ["local1", "local2", "local3"]


def _done(_: object) -> None:
    """A fault that found nothing to break is none."""
