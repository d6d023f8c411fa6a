"""Where tasks and reservations go, policy by policy."""

from collections import Counter
from random import Random

import pytest

from covey.core.balancing import JoinShortestQueue, LeastLoaded
from covey.core.placement import Placed, PlacementPolicy
from covey.core.policies import AUTO_RATIO_MIN, policy_for, probe_ratio_at
from covey.core.sampling import BatchSampling, PerTaskSampling, RandomPlacement
from covey.errors import InternalError
from covey.model.job import JobSpec
from covey.model.policy import OMNISCIENT, POLICIES

AGENTS = [f"a{number}" for number in range(20)]
EARLY: list[PlacementPolicy] = [
    RandomPlacement(),
    PerTaskSampling(),
    BatchSampling(is_late=False),
    JoinShortestQueue(),
    LeastLoaded(),
]


def named(policy: PlacementPolicy) -> str:
    return type(policy).__name__


def test_batch_sampling_leaves_d_reservations_per_task_on_distinct_agents() -> None:
    policy = BatchSampling(ratio=2.0)
    groups = policy.sample(5, AGENTS, Random(1))
    placed = policy.place(5, groups, {})
    assert len(placed) == 10
    assert len({one.agent for one in placed}) == 10
    assert all(one.task is None for one in placed)


@pytest.mark.parametrize(("ratio", "count"), [(1.0, 10), (1.05, 10), (1.1, 11), (1.5, 15)])
def test_the_probe_ratio_is_a_real_number(ratio: float, count: int) -> None:
    late = BatchSampling(ratio)
    assert len(late.place(10, late.sample(10, AGENTS, Random(1)), {})) == count
    assert sum(map(len, PerTaskSampling(ratio).sample(10, AGENTS, Random(1)))) == count


def test_batch_sampling_spreads_evenly_when_there_are_too_few_agents() -> None:
    policy = BatchSampling()
    placed = policy.place(7, policy.sample(7, AGENTS[:3], Random(1)), {})
    assert sorted(Counter(one.agent for one in placed).values()) == [4, 5, 5]


def test_a_ratio_below_one_still_leaves_a_reservation_for_each_task() -> None:
    policy = BatchSampling(ratio=0.1)
    assert len(policy.sample(4, AGENTS, Random(1))[0]) == 4


@pytest.mark.parametrize("policy", EARLY, ids=named)
@pytest.mark.parametrize("agents", [1, 2, 3, 20])
@pytest.mark.parametrize("tasks", [1, 2, 7, 100])
def test_an_early_policy_binds_each_task_once_however_few_agents_there_are(
    policy: PlacementPolicy, agents: int, tasks: int
) -> None:
    groups = policy.sample(tasks, AGENTS[:agents], Random(1))
    loads = {agent: float(at % 3) for at, agent in enumerate(AGENTS)}
    placed = policy.place(tasks, groups, loads)
    assert sorted(one.task or 0 for one in placed) == list(range(tasks))
    assert {one.agent for one in placed} <= set(AGENTS[:agents])


@pytest.mark.parametrize("policy", [*EARLY, BatchSampling()], ids=named)
def test_the_same_seed_places_alike(policy: PlacementPolicy) -> None:
    assert policy.sample(9, AGENTS, Random(3)) == policy.sample(9, AGENTS, Random(3))


def test_per_task_sampling_takes_the_less_loaded_of_two() -> None:
    policy = PerTaskSampling()
    groups = policy.sample(3, AGENTS, Random(1))
    loads = {agent: 5.0 for group in groups for agent in group} | {groups[0][1]: 0.0}
    assert policy.place(3, groups, loads)[0] == Placed(groups[0][1], 0)


def test_per_task_sampling_counts_what_it_just_placed() -> None:
    placed = PerTaskSampling().place(2, [["a", "b"], ["a", "b"]], {"a": 0.0, "b": 0.5})
    assert [one.agent for one in placed] == ["a", "b"]


def test_an_agent_that_did_not_answer_is_taken_last() -> None:
    for policy in (PerTaskSampling(), BatchSampling(is_late=False), JoinShortestQueue()):
        assert policy.place(1, [["dead", "slow"]], {"slow": 99.0}) == [Placed("slow", 0)]
        assert policy.place(1, [["dead"]], {}) == [Placed("dead", 0)]


def test_batch_sampling_early_takes_the_m_least_loaded_of_those_probed() -> None:
    policy = BatchSampling(is_late=False)
    [group] = policy.sample(3, AGENTS, Random(1))
    assert len(group) == 6
    loads = {agent: float(at) for at, agent in enumerate(group)}
    assert [one.agent for one in policy.place(3, [group], loads)] == group[:3]


def test_batch_sampling_early_goes_in_rounds_where_agents_are_few() -> None:
    """Half of them, the least loaded, get a task each; then the half that is least loaded now."""
    placed = BatchSampling(is_late=False).place(
        5, [["a", "b", "c", "d"]], {"a": 0, "b": 0, "c": 1, "d": 9}
    )
    assert [one.agent for one in placed] == ["a", "b", "a", "b", "c"]


def test_the_shortest_queue_is_joined_task_by_task() -> None:
    placed = JoinShortestQueue().place(4, [["a", "b"]], {"a": 0.0, "b": 1.5})
    assert [one.agent for one in placed] == ["a", "a", "b", "a"]


def test_least_loaded_goes_by_measured_speed() -> None:
    """An agent that is three times as fast gets three times the tasks."""
    placed = LeastLoaded().place(
        8, [["fast", "slow"]], {"fast": 0.0, "slow": 0.0}, {"fast": 1.0, "slow": 3.0}
    )
    assert Counter(one.agent for one in placed) == {"fast": 6, "slow": 2}


def test_every_name_has_its_policy() -> None:
    assert len({named(policy_for(JobSpec(policy=name))) for name in POLICIES}) == len(POLICIES) - 1
    assert policy_for(JobSpec()).traits.is_early is False
    with pytest.raises(InternalError, match="OMNISCIENT"):
        policy_for(JobSpec(policy=OMNISCIENT))


def test_an_automatic_probe_ratio_falls_as_the_load_rises() -> None:
    assert probe_ratio_at(0.0) == probe_ratio_at(0.8) == 2.0
    assert AUTO_RATIO_MIN < probe_ratio_at(0.9) < 2.0
    assert probe_ratio_at(0.95) == probe_ratio_at(1.0) == pytest.approx(AUTO_RATIO_MIN)
    policy = policy_for(JobSpec(probe_ratio=0), load=1.0)
    assert len(policy.sample(20, AGENTS * 9, Random(1))[0]) == 21
