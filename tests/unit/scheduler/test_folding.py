"""Private runs, and how they become part of the ledger of their cluster."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.ledgers import (
    Items,
    JobStateChanged,
    a_job,
    open_ledger,
    outcomes,
    record,
    write_job,
)

from covey.errors import JobNotFound, StateInUse
from covey.scheduler import locks
from covey.scheduler.folding import fold, fold_unfinished
from covey.scheduler.locks import HEAD_LOCK
from covey.scheduler.pruning import prune
from covey.scheduler.runs import RunDir, next_job_number
from covey.scheduler.view import LedgerView


def a_run(state_dir: Path, *, tasks: int = 3, state: str = "succeeded") -> int:
    run = RunDir.create(state_dir)
    write_job(run.ledger_path, run.number, tasks=tasks, state=state)
    run.close()
    return run.number


def test_job_numbers_rise_and_never_collide(tmp_path: Path) -> None:
    assert [next_job_number(tmp_path) for _ in range(3)] == [1, 2, 3]
    script = (
        "import sys; from pathlib import Path; from covey.scheduler.runs import next_job_number\n"
        "for _ in range(50): print(next_job_number(Path(sys.argv[1])))"
    )
    takers = [
        subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    numbers = [int(n) for taker in takers for n in taker.communicate(timeout=30)[0].split()]
    assert sorted(numbers) == list(range(4, 154))


def test_a_counter_that_was_torn_starts_behind_all_known_jobs(tmp_path: Path) -> None:
    for _ in range(3):
        a_run(tmp_path)
    fold(tmp_path)
    a_run(tmp_path, state="running")
    (tmp_path / "counter").write_bytes(b"\0\0\0")
    assert next_job_number(tmp_path) == 5


def test_a_live_run_is_seen_and_left_alone(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path)
    write_job(run.ledger_path, run.number)
    assert fold(tmp_path).folded == []
    (job,) = LedgerView(tmp_path).jobs()
    assert (job.is_live, job.run) == (True, run.path)
    with pytest.raises(StateInUse, match="covey attach 1"):
        RunDir.open(tmp_path, 1)
    run.close()
    assert fold(tmp_path).folded == [1]


def test_a_copy_of_the_descriptor_keeps_the_run_alive(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path)
    root = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[run.lock_fd])
    run.close()
    assert locks.is_held(run.path / "lock")
    root.communicate(b"", timeout=10)
    assert not locks.is_held(run.path / "lock")


def test_a_folded_run_reads_as_before(tmp_path: Path) -> None:
    write_job(tmp_path / "ledger.db", 7)
    for _ in range(7):
        next_job_number(tmp_path)
    number = a_run(tmp_path)
    view = LedgerView(tmp_path)
    before = view.outcomes(number)
    seen = before[0].seq
    assert fold(tmp_path).folded == [number]
    assert view.outcomes(number) == before
    assert view.outcomes(number, seen) == before[1:], "a follower goes on where it was"
    assert view.job(number).last_seq == before[-1].seq
    assert view.output(number, 1) == (b"o" * 10_000, b"")
    assert view.items(number)[0] == (1, b"item 1")
    assert [job.job for job in view.jobs()] == [7, number]
    assert not (tmp_path / "runs" / str(number)).exists()
    assert sorted(f.name for f in (tmp_path / "runs").iterdir()) == []


def test_an_interrupted_run_stays_and_can_be_gone_on_with(tmp_path: Path) -> None:
    number = a_run(tmp_path, state="running")
    assert fold(tmp_path).unfinished == [number]
    (job,) = LedgerView(tmp_path).jobs()
    assert (job.state, job.is_live) == ("running", False)
    run = RunDir.open(tmp_path, number)
    ledger = open_ledger(run.ledger_path)
    assert ledger.raise_term() == 2, "newer than what was recorded"
    ledger.close()
    run.close()


def test_a_head_takes_an_interrupted_run_over_with_newer_terms(tmp_path: Path) -> None:
    number = a_run(tmp_path, state="running")
    fold_unfinished(tmp_path, number)
    fold_unfinished(tmp_path, number)
    head = open_ledger(tmp_path / "ledger.db")
    assert head.raise_term() == 2, "any attempt of the head is newer than those of the run"
    record(head, Items(number, 4, [b"item 4"]), outcomes([4], job=number))
    assert [row.seq for row in LedgerView(tmp_path).outcomes(number)] == [1, 2, 3, 4]
    assert head.seq_of(number) == 4
    head.close()


def test_with_a_head_up_only_the_head_folds(tmp_path: Path) -> None:
    number = a_run(tmp_path)
    head = locks.take(tmp_path / HEAD_LOCK)
    assert fold(tmp_path).for_head == [number]
    assert LedgerView(tmp_path).job(number).run is not None
    assert fold(tmp_path, by_head=True).folded == [number]
    assert LedgerView(tmp_path).job(number).is_live
    os.close(head)


def test_a_head_that_writes_meanwhile_loses_nothing(tmp_path: Path) -> None:
    head = open_ledger(tmp_path / "ledger.db")
    record(head, a_job(100), Items(100, 1, [b"x"] * 50))
    record(head, outcomes(list(range(1, 11)), job=100))
    number = a_run(tmp_path, tasks=20)
    fold(tmp_path, by_head=True)
    record(head, outcomes(list(range(11, 51)), job=100))
    view = LedgerView(tmp_path)
    assert [row.task for row in view.outcomes(100)] == list(range(1, 51))
    assert len(view.outcomes(number)) == 20
    head.close()


def test_a_run_that_never_recorded_a_job_is_removed(tmp_path: Path) -> None:
    RunDir.create(tmp_path).close()
    report = fold(tmp_path)
    assert (report.folded, report.unfinished, report.problems) == ([], [], [])
    assert list((tmp_path / "runs").iterdir()) == []
    with pytest.raises(JobNotFound):
        RunDir.open(tmp_path, 1)


def test_leftovers_of_the_dead_are_swept_and_of_the_living_are_not(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    dead = subprocess.Popen(["true"])
    dead.wait(10)
    for name in (f".new-{dead.pid}-5", f".new-{os.getpid()}-6", ".gone-7"):
        (runs / name / "jobs").mkdir(parents=True)
    fold(tmp_path)
    assert [f.name for f in runs.iterdir()] == [f".new-{os.getpid()}-6"]


def test_a_damaged_run_is_put_aside_and_named(tmp_path: Path) -> None:
    broken, good = a_run(tmp_path), a_run(tmp_path)
    (tmp_path / "runs" / str(broken) / "ledger.db").write_bytes(b"junk" * 1000)
    view = LedgerView(tmp_path)
    assert [job.job for job in view.jobs()] == [good]
    assert "damaged" in str(view.problems[0])
    report = fold(tmp_path)
    assert report.folded == [good]
    assert f"{broken}.corrupt" in str(report.problems[0])
    assert fold(tmp_path).problems == []


def test_another_job_of_the_same_number_is_never_overwritten(tmp_path: Path) -> None:
    number = a_run(tmp_path)
    ledger = open_ledger(tmp_path / "ledger.db")
    other = a_job(number)
    other.key = "another"
    record(ledger, other)
    ledger.close()
    report = fold(tmp_path)
    assert f"another job {number}" in str(report.problems[0])
    assert (tmp_path / "runs" / str(number) / "ledger.db").exists()


def test_a_view_of_nothing_has_no_jobs_and_makes_nothing(tmp_path: Path) -> None:
    view = LedgerView(tmp_path / "nowhere")
    assert (view.jobs(), view.last_job()) == ([], 0)
    with pytest.raises(JobNotFound, match="no job 3"):
        view.outcomes(3)
    assert not (tmp_path / "nowhere").exists()


def test_prune_forgets_what_ended_long_ago_and_nothing_else(tmp_path: Path) -> None:
    old, young, interrupted = a_run(tmp_path), a_run(tmp_path), a_run(tmp_path, state="running")
    fold(tmp_path)
    ledger = open_ledger(tmp_path / "ledger.db")
    record(ledger, JobStateChanged(young, "succeeded", "", 900.0))
    report = prune(tmp_path, 500.0, now=1000.0)
    assert report.jobs == [old]
    assert report.rows == 6
    assert report.size_bytes >= 10_000
    view = LedgerView(tmp_path)
    assert [job.job for job in view.jobs()] == [young, interrupted]
    assert view.output(young, 1)[0] == b"o" * 10_000
    assert sorted(f.name for f in (tmp_path / "jobs").iterdir()) == [str(young)]
    record(ledger, a_job(50), Items(50, 1, [b"x"]), outcomes([1], job=50))
    ledger.close()
    assert next_job_number(tmp_path) == 4
