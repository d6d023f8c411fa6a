"""When an attempt is followed by another, when a task is poison, when a job halts."""

import pytest

from covey.core.retry import is_halting, is_poison, may_start_again
from covey.model.job import HaltPolicy, RetryPolicy
from covey.model.task import OutcomeState

BAD = [
    OutcomeState.FAILED,
    OutcomeState.TIMED_OUT,
    OutcomeState.CRASHED,
    OutcomeState.OUT_OF_MEMORY,
]


@pytest.mark.parametrize("state", BAD)
def test_what_ended_badly_is_tried_until_its_starts_are_spent(state: OutcomeState) -> None:
    policy = RetryPolicy(starts_max=3)
    assert [may_start_again(policy, state, spent) for spent in (1, 2, 3, 4)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("state", [s for s in OutcomeState if s not in BAD])
def test_nothing_else_is_tried_again(state: OutcomeState) -> None:
    assert not may_start_again(RetryPolicy(starts_max=0), state, 1)


def test_zero_starts_mean_without_end() -> None:
    assert may_start_again(RetryPolicy(starts_max=0), OutcomeState.FAILED, 10_000)


def test_one_start_means_no_second() -> None:
    assert not may_start_again(RetryPolicy(), OutcomeState.FAILED, 1)


def test_poison_is_what_was_lost_crash_limit_times() -> None:
    assert [is_poison(RetryPolicy(crash_limit=5), lost) for lost in (4, 5)] == [False, True]


@pytest.mark.parametrize(
    ("on", "count", "succeeded", "failed", "halts"),
    [
        ("fail", 2, 9, 1, False),
        ("fail", 2, 9, 2, True),
        ("success", 1, 0, 9, False),
        ("success", 1, 1, 9, True),
        ("done", 3, 1, 1, False),
        ("done", 3, 2, 1, True),
    ],
)
def test_a_count_halts_when_it_is_reached(
    on: str, count: int, succeeded: int, failed: int, halts: bool
) -> None:
    policy = HaltPolicy("soon", on, count=count)  # pyright: ignore[reportArgumentType]
    assert is_halting(policy, succeeded, failed, None) is halts


@pytest.mark.parametrize(
    ("succeeded", "failed", "total", "halts"),
    [
        (1, 1, 10, False),
        (0, 2, 10, True),
        (0, 1, 2, True),
        (9, 1, 100, False),
        (0, 10, None, False),  # Of what?
    ],
)
def test_a_percentage_is_of_all_tasks(
    succeeded: int, failed: int, total: int | None, halts: bool
) -> None:
    policy = HaltPolicy("now", "fail", percent=20.0)
    assert is_halting(policy, succeeded, failed, total) is halts
