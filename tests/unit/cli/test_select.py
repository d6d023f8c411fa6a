"""Selectors: which jobs a few characters name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.cli.select import matching, parse_selector, parse_target, pick
from covey.errors import JobNotFound, UsageError

KNOWN = [1, 2, 3, 5, 8, 13]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("3", [3]),
        ("last", [13]),
        ("all", KNOWN),
        ("1-10", [1, 2, 3, 5, 8]),
        ("1-10:2", [1, 3, 5]),
        ("3,5-8", [3, 5, 8]),
        ("5-8,3,3", [3, 5, 8]),
        ("1_3", [13]),
        ("2-1_000", [2, 3, 5, 8, 13]),
    ],
)
def test_a_selector_names_the_jobs_that_exist(text: str, chosen: list[int]) -> None:
    assert pick(parse_selector(text), KNOWN) == chosen


@pytest.mark.parametrize("text", ["4", "3,4", "20-30", "9-12"])
def test_naming_a_job_that_is_not_there_says_so(text: str) -> None:
    with pytest.raises(JobNotFound, match="covey jobs"):
        pick(parse_selector(text), KNOWN)


def test_all_of_no_jobs_is_none_but_last_of_none_is_an_error() -> None:
    assert pick(parse_selector("all"), []) == []
    with pytest.raises(JobNotFound, match="no jobs yet"):
        pick(parse_selector("last"), [])


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "1-", "x", "3-1", "1-5:0", "1,,2", "1.5", "LAST", "1-5:2:2", "٣", "9" * 19],
)
def test_a_word_that_is_no_selector_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError):
        parse_selector(text)


def test_a_target_is_a_job_or_tasks_of_a_job() -> None:
    job, task = parse_target("3")
    assert (job.single, task) == (3, None)
    job, task = parse_target("last.17")
    assert job.keyword == "last"
    assert task is not None
    assert task.single == 17
    _, task = parse_target("3.1-5,9")
    assert task is not None
    assert [n for n in range(1, 12) if n in task] == [1, 2, 3, 4, 5, 9]


def test_names_are_matched_as_shell_patterns() -> None:
    names = [(1, "nightly-a"), (2, "other"), (3, "nightly-b")]
    assert matching("nightly-*", names) == [1, 3]
    assert matching("NIGHTLY*", names) == []


@given(
    known=st.lists(st.integers(1, 60), unique=True).map(sorted),
    first=st.integers(1, 60),
    length=st.integers(1, 60),
    step=st.integers(1, 9),
)
def test_a_range_takes_every_step_of_what_exists(
    known: list[int], first: int, length: int, step: int
) -> None:
    wanted = [n for n in known if first <= n <= first + length and (n - first) % step == 0]
    selector = parse_selector(f"{first}-{first + length}:{step}")
    if wanted:
        assert pick(selector, known) == wanted
    else:
        with pytest.raises(JobNotFound):
            pick(selector, known)
