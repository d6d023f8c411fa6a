"""How large a claim is."""

import pytest

from covey.core.claims import CLAIM_MAX, FIRST_GUESS_S, Pace


def a_pace(task_s: float, claims: int = 20) -> Pace:
    pace = Pace()
    for _ in range(claims):
        pace.grew()
    pace.ended(10, 10 * task_s)
    return pace


def test_nothing_known_means_one_task() -> None:
    assert Pace().per_slot(0.1) == 1
    assert Pace().chunk_max() == 1
    assert Pace().task_s is None
    assert Pace().guess_s == FIRST_GUESS_S


@pytest.mark.parametrize(
    ("task_s", "round_trip_s", "size"),
    [
        (0.001, 0.0005, 50),
        (0.001, 0.040, 80),
        (0.000_001, 0.0005, CLAIM_MAX),
        (0.009, 0.0, 5),
        (5.0, 0.1, 1),
    ],
)
def test_a_claim_is_50_ms_or_two_round_trips_of_work(
    task_s: float, round_trip_s: float, size: int
) -> None:
    assert a_pace(task_s).per_slot(round_trip_s) == pytest.approx(size, abs=1)


def test_a_claim_at_most_doubles() -> None:
    pace = Pace()
    pace.ended(1, 0.000_01)
    sizes: list[int] = []
    for _ in range(10):
        sizes.append(pace.per_slot(0.0))
        pace.grew()
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256]


def test_a_task_over_10_ms_starts_the_doubling_again() -> None:
    pace = a_pace(0.000_1)
    pace.ended(1, 0.011)
    for _ in range(200):
        pace.ended(100, 0.01)
    assert pace.per_slot(0.0) == 1


def test_a_last_task_that_is_slower_than_the_mean_counts() -> None:
    pace = a_pace(0.000_1)
    pace.ended(1, 0.005)
    assert pace.task_s == 0.005
    assert pace.chunk_max() == 10
    assert pace.is_short


def test_tasks_that_take_no_measurable_time_are_fine() -> None:
    pace = Pace()
    pace.ended(5, 0.0)
    assert pace.chunk_max() == CLAIM_MAX


def test_the_median_is_known_after_three_tasks_if_somebody_follows_it() -> None:
    pace = Pace()
    pace.ended(9, 9.0)
    assert pace.median_s is None
    pace.follow_median()
    pace.ended(2, 4.0)
    assert pace.median_s is None
    pace.ended(1, 8.0)
    assert pace.median_s == 2.0
