"""Where reservations go; and that the port fits the policies that are not built in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar

from covey.core.placement import BatchSampling, Placed, PlacementPolicy, RandomPlacement

AGENTS = [f"a{number}" for number in range(20)]


class PerTaskSampling:
    """Two probes per task, each task to the less loaded one (SOSP'13 §3.2), in the port's words."""

    asks: ClassVar[bool] = True

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        return [rng.sample(list(agents), 2) for _ in range(tasks)]

    def place(self, tasks: int, groups: list[list[str]], loads: Mapping[str, int]) -> list[Placed]:
        return [
            Placed(min(group, key=lambda agent: loads[agent]), index)
            for index, group in enumerate(groups)
        ]


def test_batch_sampling_leaves_d_reservations_per_task_on_distinct_agents() -> None:
    policy = BatchSampling(ratio=2.0)
    groups = policy.sample(5, AGENTS, Random(1))
    placed = policy.place(5, groups, {})
    assert len(placed) == 10
    assert len({one.agent for one in placed}) == 10
    assert all(one.task is None for one in placed)


def test_batch_sampling_spreads_evenly_when_there_are_too_few_agents() -> None:
    policy = BatchSampling()
    placed = policy.place(7, policy.sample(7, AGENTS[:3], Random(1)), {})
    assert sorted(Counter(one.agent for one in placed).values()) == [4, 5, 5]


def test_a_ratio_below_one_still_leaves_a_reservation_for_each_task() -> None:
    policy = BatchSampling(ratio=0.1)
    assert len(policy.sample(4, AGENTS, Random(1))[0]) == 4


def test_random_placement_binds_each_task_early_to_one_agent() -> None:
    policy = RandomPlacement()
    placed = policy.place(6, policy.sample(6, AGENTS, Random(1)), {})
    assert [one.task for one in placed] == [0, 1, 2, 3, 4, 5]


def test_the_same_seed_places_alike() -> None:
    for policy in (RandomPlacement(), BatchSampling()):
        assert policy.sample(9, AGENTS, Random(3)) == policy.sample(9, AGENTS, Random(3))


def test_a_policy_that_asks_fits_the_port() -> None:
    policy: PlacementPolicy = PerTaskSampling()
    groups = policy.sample(3, AGENTS, Random(1))
    loads = {agent: 5 for group in groups for agent in group} | {groups[0][1]: 0}
    placed = policy.place(3, groups, loads)
    assert placed[0] == Placed(groups[0][1], 0)
