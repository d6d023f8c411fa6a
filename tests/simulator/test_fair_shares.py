"""Shares of users: those of their weights where all want more than there is, over five seeds.

Who wants less than that has it, and the others share what is left.
"""

from statistics import mean

import pytest
from tests.simulator.telling import tell

from covey.model import policy as p
from covey.sim.study import Study, run
from covey.sim.workload import Stream, Workload

SEEDS = (1, 2, 3, 4, 5)
MACHINES, SLOTS = 5, 4
#: Virtual seconds of a run, and of its beginning that does not count: there, slots are idle.
RUN_S, BEGINNING_S = 2.5, 1.0

pytestmark = pytest.mark.timeout(900)


def shares(seed: int, policy: str, *streams: Stream, tasks: int = 10) -> dict[str, float]:
    """The part of all slots that each user had."""
    workload = Workload(
        jobs=1_000_000, tasks=tasks, durations="constant", phases=((RUN_S, streams),)
    )
    study = Study(
        policy, 1.0, machines=MACHINES, slots=SLOTS, workload=workload, engine="cores",
        schedulers=4, look_every_s=0.05, cut_after_s=0.0, seed=seed,
    )  # fmt: skip
    usage = run(study).usage
    rows = [busy for at, busy in usage if at - usage[0][0] > BEGINNING_S]
    return {
        one.user: mean(b.get(one.user, 0) for b in rows) / (MACHINES * SLOTS) for one in streams
    }


@pytest.mark.parametrize("policy", [p.LATE_BINDING, p.BATCH, p.RANDOM, p.LEAST_LOADED])
def test_users_share_by_their_weights_however_tasks_are_placed(policy: str):
    for seed in SEEDS:
        got = shares(seed, policy, Stream(1.5, "three", 3.0), Stream(1.5, "one", 1.0))
        tell(f"{policy}, seed {seed}: {got}")
        assert got["three"] == pytest.approx(0.75, abs=0.03)
        assert got["one"] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("tasks", [2, 10])
def test_three_weights_are_kept_whatever_the_size_of_jobs(tasks: int):
    for seed in SEEDS:
        streams = (Stream(1.0, "four", 4.0), Stream(1.0, "two", 2.0), Stream(1.0, "one", 1.0))
        got = shares(seed, p.LATE_BINDING, *streams, tasks=tasks)
        tell(f"{tasks} tasks, seed {seed}: {got}")
        for user, weight in (("four", 4), ("two", 2), ("one", 1)):
            assert got[user] == pytest.approx(weight / 7, abs=0.04)


def test_who_asks_for_more_of_the_jobs_gets_no_more_than_the_weight():
    for seed in SEEDS:
        got = shares(seed, p.LATE_BINDING, Stream(3.0, "much"), Stream(1.0, "less"))
        tell(f"seed {seed}: {got}")
        assert got["much"] == pytest.approx(0.5, abs=0.04)


def test_what_a_user_does_not_ask_for_goes_to_the_others():
    """The heavier one asks for less than its weight: it has all of that, and no slot is idle."""
    got = [
        shares(seed, p.LATE_BINDING, Stream(0.3, "heavy", 3.0), Stream(2.0, "light", 1.0))
        for seed in SEEDS
    ]
    heavy, light = mean(one["heavy"] for one in got), mean(one["light"] for one in got)
    tell(f"heavy {heavy:.2f}, light {light:.2f}")
    assert heavy == pytest.approx(0.3, abs=0.08)
    assert heavy + light > 0.95


def test_a_larger_priority_has_all_that_it_asks_for_before_any_weight():
    got = [
        shares(seed, p.LATE_BINDING, Stream(0.5, "urgent", 1.0, 1), Stream(2.0, "heavy", 9.0))
        for seed in SEEDS
    ]
    urgent = mean(one["urgent"] for one in got)
    tell(f"urgent {urgent:.2f}")
    assert urgent == pytest.approx(0.5, abs=0.08)
