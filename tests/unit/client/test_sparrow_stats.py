"""The figures of a run, and its histogram."""

from collections import Counter

import pytest

from covey.client.sparrow.draw import DrawnJob, User
from covey.client.sparrow.ran import Ran, RanJob, Way
from covey.client.sparrow.stats import Spread, cdf, figures, histogram, percentile
from covey.model.phases import Phases


def a_ran_job(at_s: float, lengths: tuple[float, ...], response_s: float, user: str = "") -> RanJob:
    due = 1000.0 + at_s
    tasks = [
        (
            task,
            Phases(
                arrived=due,
                reserved=due,
                queued=due + 0.001,
                claimed=due + 0.011,
                granted=due + 0.012,
                received=due + 0.013,
                started=due + 0.014,
                ended=due + 0.014 + length,
                recorded=due + 0.015 + length,
                agent="local1",
            ),
        )
        for task, length in enumerate(lengths, 1)
    ]
    return RanJob(DrawnJob(at_s, lengths, User(user)), due, "s", 1, due + response_s, tasks=tasks)


def test_percentiles_lie_between_their_neighbours():
    assert percentile([1.0], 99) == 1.0
    assert percentile([1.0, 2.0, 3.0], 50) == 2.0
    assert percentile([0.0, 1.0], 95) == pytest.approx(0.95)
    assert Spread.of([]) == Spread(None, None, None, None)


def test_figures_set_responses_beside_the_ideal_of_the_same_draw():
    ran = Ran(
        Way("BATCH"),
        [a_ran_job(0.0, (0.1, 0.1), 0.12, "a"), a_ran_job(5.0, (0.2,), 0.24, "b")],
        Counter({"Grant": 6, "Claim": 6}),
    )
    found = figures(ran, slots=2)
    assert (found.jobs, found.tasks, found.failed) == (2, 3, 0)
    assert found.response.p50_s == pytest.approx(0.18)
    assert found.ideal.p50_s == pytest.approx(0.15)
    assert found.slowdown[0] == pytest.approx(1.2)
    assert found.messages_per_task == 4.0
    assert found.queueing.p50_s == pytest.approx(0.010)
    assert found.scheduling.p50_s == pytest.approx(0.004)
    assert sorted(found.users) == ["a", "b"]
    value = found.to_json()
    assert {"jobs", "tasks", "p50_s", "p95_s", "p99_s", "ideal_p50_s"} < value.keys()
    assert {"slowdown_p50", "messages_per_task"} < value.keys()


def test_jobs_of_the_warm_up_are_not_counted():
    ran = Ran(Way("BATCH"), [a_ran_job(0.0, (0.1,), 9.0), a_ran_job(5.0, (0.1,), 0.1)], Counter())
    found = figures(ran, slots=1, warmup_s=1.0)
    assert found.jobs == 1
    assert found.response.p99_s == pytest.approx(0.1)
    assert found.messages_per_task is None


def test_a_histogram_counts_everything_once():
    values = [0.0, 0.1, 0.1, 0.5, 1.0]
    found = histogram(values, bins=4)
    assert [count for _, _, count in found] == [3, 0, 1, 1]
    assert (found[0][0], found[-1][1]) == (0.0, 1.0)
    assert histogram([2.0, 2.0]) == [(2.0, 2.0, 2)]
    assert histogram([]) == []


def test_a_curve_rises_from_the_least_to_the_largest_and_has_few_points():
    found = cdf([float(value) for value in range(5000)])
    assert len(found) <= 1001
    assert found[0] == (0.0, 1 / 5000)
    assert found[-1] == (4999.0, 1.0)
    assert found == sorted(found)
    assert cdf([]) == []
    assert cdf([3.0]) == [(3.0, 1.0)]
