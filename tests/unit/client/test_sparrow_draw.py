"""What `covey sparrow` submits: drawn once by seed, and what an ideal cluster needs for it."""

from dataclasses import replace
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.client.sparrow.draw import (
    Ask,
    DrawnJob,
    User,
    draw,
    from_lines,
    ideal_responses,
    to_lines,
    users_of,
)
from covey.errors import UsageError

ASK = Ask(jobs=20, tasks=5, duration_s=1.0, spread_s=0.5, seed=3)


def test_the_same_seed_draws_the_same_jobs_and_another_seed_others():
    assert draw(ASK, 4) == draw(ASK, 4)
    assert draw(ASK, 4) != draw(replace(ASK, seed=4), 4)


def test_tasks_stay_the_same_when_only_arrivals_differ():
    together = draw(ASK, 4)
    poisson = draw(replace(ASK, arrival="poisson", load=0.5), 9)
    assert [job.durations_s for job in together] == [job.durations_s for job in poisson]
    assert {job.at_s for job in together} == {0.0}
    assert sorted(job.at_s for job in poisson) == [job.at_s for job in poisson]


def test_tasks_last_duration_plus_or_minus_spread():
    lengths = [length for job in draw(ASK, 4) for length in job.durations_s]
    assert all(0.5 <= length <= 1.5 for length in lengths)
    assert fmean(lengths) == pytest.approx(1.0, abs=0.15)
    assert {
        length for job in draw(replace(ASK, spread_s=0.0), 4) for length in job.durations_s
    } == {1.0}


def test_poisson_arrivals_make_up_the_load():
    ask = Ask(jobs=5000, tasks=4, duration_s=0.1, arrival="poisson", load=0.8)
    jobs = draw(ask, slots=10)
    work_s = sum(sum(job.durations_s) for job in jobs)
    assert work_s / (10 * jobs[-1].at_s) == pytest.approx(0.8, rel=0.05)


def test_users_have_the_loads_that_they_are_given():
    ask = Ask(4000, 1, 0.1, arrival="poisson", users=users_of("a:1:1:0.25,b:1:0:0.75"))
    jobs = draw(ask, 10)
    assert sum(job.user.name == "a" for job in jobs) / len(jobs) == pytest.approx(0.25, abs=0.03)


def test_no_job_arrives_after_the_duration():
    ask = Ask(100_000, 1, 0.1, arrival="poisson", load=0.5, until_s=2.0)
    jobs = draw(ask, 4)
    assert jobs[-1].at_s <= 2.0
    assert len(jobs) == pytest.approx(40, abs=25)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jobs": 0}, "JOBS is 0"),
        ({"jobs": -3}, "JOBS is -3"),
        ({"tasks": 0}, "TASKS is 0"),
        ({"jobs": 10**9}, "at most"),
        ({"duration_s": -1.0}, "DURATION is -1"),
        ({"duration_s": 1e12}, "DURATION is 1e"),
        ({"spread_s": 1.5}, "SPREAD is 1.5"),
        ({"spread_s": -0.5}, "SPREAD is -0.5"),
        ({"arrival": "poisson", "load": 0.0}, "a load of 0"),
        ({"arrival": "poisson", "load": -1.0}, "a load of -1"),
        ({"arrival": "poisson", "duration_s": 0.0, "spread_s": 0.0}, "no load"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(changes: dict[str, object], says: str):
    with pytest.raises(UsageError, match=says):
        draw(replace(ASK, **changes), 4)  # pyright: ignore[reportArgumentType]


def test_a_draw_is_written_and_read_back():
    jobs = draw(replace(ASK, users=users_of("a:2:0,b:1:1")), 4)
    assert from_lines(to_lines(jobs), "f") == (jobs, False)


def test_a_draw_whose_jobs_wait_for_each_other_is_read_back_as_one():
    jobs = draw(replace(ASK, arrival="sequence"), 4)
    assert from_lines(to_lines(jobs, in_turn=True), "f") == (jobs, True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is no trace"),
        ("{}\n", "is no trace"),
        ('"covey sparrow trace 1"\n', "has no jobs"),
        ('"covey sparrow trace 1"\n{"at_s": 0}\n', "line 2"),
        ('"covey sparrow trace 1"\n{"at_s": 0, "durations_s": []}\n', "line 2"),
        ('"covey sparrow trace 1"\n{"at_s": 0, "durations_s": [-1]}\n', "line 2"),
        ('"covey sparrow trace 1"\n{"at_s": NaN, "durations_s": [1]}\n', "line 2"),
        ('"covey sparrow trace 1"\nno json\n', "line 2"),
        ('"covey sparrow trace 1"\n{"at_s": 0, "durations_s": [1], "weight": 0}\n', "weight"),
        ('"covey sparrow trace 1"\n{"at_s": 0, "durations_s": [1], "priority": 1001}\n', "1000"),
    ],
)
def test_a_file_that_is_no_trace_is_told_with_its_line(text: str, says: str):
    with pytest.raises(UsageError, match=says):
        from_lines(text, "f")


def test_users_are_name_weight_priority():
    assert users_of("a:2:0,b:1:1") == (User("a", 2.0, 0), User("b", 1.0, 1))
    assert users_of("a") == (User("a"),)
    for wrong in ("a:x", "a:1:x", ":1", "a:0", "a,a", "a:-1", "a:1:1:1:1", ""):
        with pytest.raises(UsageError, match="--users"):
            users_of(wrong)


# -------------------------------------------------------------------- the ideal cluster


def test_while_slots_suffice_a_job_needs_its_longest_task():
    jobs = [DrawnJob(0.0, (1.0, 3.0, 2.0)), DrawnJob(5.0, (1.0,))]
    assert ideal_responses(jobs, slots=3) == [3.0, 1.0]


def test_with_one_slot_everything_stands_in_a_line():
    jobs = [DrawnJob(0.0, (1.0, 1.0)), DrawnJob(0.5, (1.0,))]
    assert ideal_responses(jobs, slots=1) == [2.0, 2.5]


def test_jobs_in_turn_do_not_wait_for_each_other():
    jobs = [DrawnJob(0.0, (1.0, 1.0)), DrawnJob(0.0, (4.0,))]
    assert ideal_responses(jobs, slots=1, in_turn=True) == [2.0, 4.0]


def test_a_larger_priority_goes_first():
    high, low = User("h", priority=1), User("l")
    jobs = [DrawnJob(0.0, (1.0,)), DrawnJob(0.0, (1.0,), low), DrawnJob(0.0, (1.0,), high)]
    assert ideal_responses(jobs, slots=1) == [2.0, 3.0, 1.0]


_JOBS = st.lists(
    st.builds(
        DrawnJob,
        st.floats(0, 10),
        st.lists(st.floats(0, 5), min_size=1, max_size=5).map(tuple),
    ),
    min_size=1,
    max_size=10,
).map(lambda jobs: sorted(jobs, key=lambda job: job.at_s))


@given(_JOBS, st.integers(1, 6))
def test_no_job_is_quicker_than_its_longest_task_and_no_slot_does_two(
    jobs: list[DrawnJob], slots: int
):
    responses = ideal_responses(jobs, slots)
    for job, response in zip(jobs, responses, strict=True):
        assert response >= max(job.durations_s) - 1e-9
        assert response >= sum(job.durations_s) / slots - 1e-9
    end = max(job.at_s + response for job, response in zip(jobs, responses, strict=True))
    work = sum(sum(job.durations_s) for job in jobs)
    assert end - jobs[0].at_s >= work / slots - 1e-6
    # Never idle with work at hand: it ends at the latest as a single slot would.
    assert end <= jobs[-1].at_s + work + 1e-6
