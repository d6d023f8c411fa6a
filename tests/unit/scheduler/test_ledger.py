"""The ledger's writer and reader on a real file."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.ledgers import a_job, outcomes, record

from covey.errors import BlobMissing, CoveyError, JobNotFound, LedgerError, LedgerVersion
from covey.model.pack import pack
from covey.model.report import Report
from covey.model.task import OutcomeState
from covey.scheduler import ledger as ledger_module
from covey.scheduler.ledger import (
    Attempts,
    Event,
    Items,
    JobSealed,
    JobStateChanged,
    Ledger,
    Outcomes,
)
from covey.scheduler.opening import connect_writer, migrate
from covey.scheduler.reader import LedgerReader
from covey.scheduler.schema import LEDGER_VERSION

SUCCEEDED, FAILED = OutcomeState.SUCCEEDED, OutcomeState.FAILED


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "state" / "ledger.db", post=lambda call: call())
    yield opened
    opened.close()


@pytest.fixture
def reader(ledger: Ledger) -> Iterator[LedgerReader]:
    opened = LedgerReader(ledger.path)
    yield opened
    opened.close()


def test_what_is_recorded_can_be_read(ledger: Ledger, reader: LedgerReader) -> None:
    item = pack([[b"a", b"b"], None])
    record(ledger, a_job(), Items(1, 1, [item, b"second"]), JobSealed(1, 2))
    record(ledger, outcomes([1], out=b"hello\n", out_size=6))
    record(ledger, Event(1, 5.0, "note", "something"))
    job = reader.job(1)
    assert (job.name, job.state, job.held, job.total, job.done) == ("a job", "running", 2, 2, 1)
    (row,) = reader.outcomes(1)
    assert (row.task, row.attempt, row.state, row.agent) == (1, 1, SUCCEEDED, "local")
    assert (row.out, row.args, row.payload) == (b"hello\n", [b"a", b"b"], item)
    assert reader.output(1, 1) == (b"hello\n", b"")
    assert reader.payloads(1, [2, 1]) == [b"second", item]
    assert [event.text for event in reader.events(1)] == ["something"]


def test_a_task_has_one_outcome_whoever_says_so_and_how_often(
    ledger: Ledger, reader: LedgerReader
) -> None:
    record(ledger, a_job(), Items(1, 1, [b""] * 4))
    record(ledger, outcomes([1, 2]))
    record(ledger, outcomes([2, 3, 3], state=FAILED), outcomes([1, 4]))
    job = reader.job(1)
    assert (job.done, job.succeeded, job.failed) == (4, 3, 1)
    assert [(row.task, row.state) for row in reader.outcomes(1)] == [
        (1, SUCCEEDED),
        (2, SUCCEEDED),
        (3, FAILED),
        (4, SUCCEEDED),
    ]
    assert ledger.refused == 3


def test_the_same_job_and_items_told_twice_are_there_once(
    ledger: Ledger, reader: LedgerReader
) -> None:
    for _ in range(2):
        record(ledger, a_job(), Items(1, 1, [b"x", b"y"]))
    assert reader.items(1) == [(1, b"x"), (2, b"y")]
    assert reader.job(1).held == 2
    assert reader.job_of_key("key-1") == 1


def test_attempts_that_were_not_the_outcome_count_its_ordinal(
    ledger: Ledger, reader: LedgerReader
) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"]))
    for n, state in ((1, FAILED), (2, OutcomeState.LOST)):
        record(ledger, Attempts(1, 1, [1], [n], [state], "local", [Report(exit=n)], 3.0))
    record(ledger, outcomes([1]))
    assert [row.attempt for row in reader.outcomes(1)] == [3]
    assert [(row.attempt, row.state) for row in reader.attempts(1)] == [
        (1, FAILED),
        (2, OutcomeState.LOST),
    ]
    # What was lost with its machine spends no start.
    assert reader.restore(1).starts == {1: 1}


def test_large_output_goes_to_a_segment_and_comes_back_whole(
    ledger: Ledger, reader: LedgerReader
) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"] * 3))
    out, err, value = b"o" * 5000, b"e" * 70_000, b"v" * 200_000
    record(ledger, outcomes([1], out=out, err=err, value=value), outcomes([2], out=b"small"))
    record(ledger, outcomes([3], out=b"z" * 4097))
    rows = reader.outcomes(1)
    assert (rows[0].out, rows[0].err, rows[0].value) == (out, err, value)
    assert [row.out[:5] for row in rows] == [b"ooooo", b"small", b"zzzzz"]
    segments = list((ledger.path.parent / "jobs" / "1").iterdir())
    assert [s.name for s in segments] == ["1.seg"]
    assert segments[0].stat().st_mode & 0o777 == 0o600


def test_an_exception_is_kept_with_its_traceback(ledger: Ledger, reader: LedgerReader) -> None:
    error = ("ValueError", "no \udcff", "Traceback …")
    record(ledger, a_job(), Items(1, 1, [b"x"]))
    record(ledger, outcomes([1], state=FAILED, error=error, error_pickle=b"pickle"))
    (row,) = reader.outcomes(1)
    assert row.error == ("ValueError", "no \\udcff", "Traceback …")
    assert row.error_pickle == b"pickle"


def test_a_task_that_never_ran_has_no_times(ledger: Ledger, reader: LedgerReader) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"]))
    record(ledger, Outcomes(1, 1, [1], [0], [OutcomeState.CANCELLED], "", [None], 9.0))
    (row,) = reader.outcomes(1)
    assert (row.started, row.ended, row.agent) == (None, 9.0, "")
    assert reader.job(1).cancelled == 1


def test_pages_follow_each_other_without_gap_or_double(
    ledger: Ledger, reader: LedgerReader
) -> None:
    record(ledger, a_job(), a_job(2), Items(1, 1, [b"x"] * 700))
    for at in range(1, 700, 7):
        record(ledger, outcomes(list(range(at, at + 7))), outcomes([at], job=2))
    seen: list[int] = []
    seq = 0
    while page := reader.outcomes(1, seq, limit=64):
        seen += [row.task for row in page]
        seq = page[-1].seq
    assert seen == list(range(1, 701))
    assert ledger.seq_of(1) == seq
    assert reader.payload_range(1, 695, 100) == [b"x"] * 6


def test_pages_are_read_in_their_order_not_sorted(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or each page of a job of a million tasks costs a million rows."""
    record(ledger, a_job())
    reader = LedgerReader(ledger.path)
    plans: list[str] = []

    def explain(query: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        db = sqlite3.connect(ledger.path)
        plans.extend(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {query}", values))
        db.close()
        return []

    monkeypatch.setattr(reader, "_some", explain)
    reader.outcomes(1)
    reader.attempts(1)
    reader.items(1)
    assert plans
    assert not [plan for plan in plans if "TEMP B-TREE" in plan or plan.startswith("SCAN")], plans
    reader.close()


def test_the_last_page_costs_what_the_first_does(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"] * 2000))
    record(ledger, outcomes(list(range(1, 2001))))
    reader = LedgerReader(ledger.path)
    steps: list[int] = []

    def count(query: str, values: tuple[object, ...]) -> list[tuple[object, ...]]:
        db = sqlite3.connect(ledger.path)
        steps.append(0)

        def step() -> None:
            steps[-1] += 1

        db.set_progress_handler(step, 1)
        rows = db.execute(query, values).fetchall()
        db.close()
        return rows

    monkeypatch.setattr(reader, "_some", count)
    assert [len(reader.outcomes(1, seen, 10)) for seen in (0, 1990)] == [10, 10]
    assert steps[1] <= steps[0] + 10
    reader.close()


def test_a_page_ends_when_its_output_is_large(ledger: Ledger, reader: LedgerReader) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"] * 6))
    for task in range(1, 7):
        record(ledger, outcomes([task], out=b"o" * 3_000_000))
    assert len(reader.outcomes(1)) == 3
    assert len(reader.outcomes(1, with_output=False)) == 6


def test_a_restart_knows_what_is_done(ledger: Ledger, reader: LedgerReader) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"] * 20), JobSealed(1, 20))
    record(ledger, outcomes([3, 9, 17]), outcomes([4], state=FAILED))
    known = reader.restore(1)
    assert [i for i in range(21) if known.done[i >> 3] >> (i & 7) & 1] == [3, 4, 9, 17]
    assert (known.held, known.total, known.high_water) == (20, 20, 17)
    assert (known.succeeded, known.failed, known.is_cancelling) == (3, 1, False)


def test_each_start_raises_the_term(tmp_path: Path) -> None:
    terms: list[int] = []
    for _ in range(3):
        opened = Ledger.open(tmp_path / "ledger.db", post=lambda call: call())
        terms.append(opened.raise_term())
        opened.close()
    assert terms == [1, 2, 3]


def test_actions_run_in_order_behind_their_commit(ledger: Ledger, reader: LedgerReader) -> None:
    record(ledger, a_job(), Items(1, 1, [b"x"] * 100))
    seen: list[tuple[int, int]] = []
    for task in range(1, 101):
        ledger.write([outcomes([task])], lambda task=task: seen.append((task, reader.job(1).done)))
    record(ledger)
    assert [task for task, _ in seen] == list(range(1, 101))
    assert all(done >= task for task, done in seen)
    assert len(ledger.commit_times_s) < 100, "records that wait together are one group"


def test_an_action_that_fails_does_not_swallow_the_next(tmp_path: Path) -> None:
    ran: list[int] = []
    errors: list[BaseException] = []

    def post(call: ledger_module.Perform) -> None:
        try:
            call()
        except ZeroDivisionError as error:
            errors.append(error)

    opened = Ledger.open(tmp_path / "ledger.db", post=post)
    gate = threading.Event()
    opened.write([a_job()], lambda: (gate.wait(10), None)[1])
    opened.write([], lambda: ran.append(1 // 0))
    opened.write([], lambda: ran.append(2))
    gate.set()
    opened.close()
    assert (ran, len(errors)) == ([2], 1)


def test_a_final_state_has_a_time(ledger: Ledger, reader: LedgerReader) -> None:
    record(ledger, a_job(), JobStateChanged(1, "succeeded", "all done", 7.5))
    job = reader.job(1)
    assert (job.state, job.reason, job.ended) == ("succeeded", "all done", 7.5)
    assert reader.jobs(states=["running"]) == []
    assert [row.job for row in reader.jobs()] == [1]


def test_unknown_jobs_and_tasks_are_named(ledger: Ledger, reader: LedgerReader) -> None:
    with pytest.raises(JobNotFound, match="no job 7"):
        reader.job(7)
    record(ledger, a_job())
    with pytest.raises(BlobMissing, match=r"1\.5"):
        reader.output(1, 5)
    with pytest.raises(BlobMissing):
        reader.payloads(1, [5])


def test_a_closed_ledger_takes_nothing(tmp_path: Path) -> None:
    opened = Ledger.open(tmp_path / "ledger.db", post=lambda call: call())
    opened.close()
    with pytest.raises(LedgerError, match="closed"):
        opened.write([a_job()])


def test_nobody_else_may_read_the_files(ledger: Ledger) -> None:
    record(ledger, a_job())
    assert ledger.path.parent.stat().st_mode & 0o777 == 0o700
    modes = {f.name: f.stat().st_mode & 0o777 for f in ledger.path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes


def test_a_record_that_makes_no_sense_stops_the_ledger_with_a_reason(tmp_path: Path) -> None:
    told: list[CoveyError | None] = []
    opened = Ledger.open(tmp_path / "l.db", post=lambda call: call(), on_error=told.append)
    opened.write([Outcomes(1, 1, [1, 2], [1], [SUCCEEDED], "local", [None], 1.0)])
    with pytest.raises(CoveyError, match="different lengths"):
        opened.close()
    assert "different lengths" in str(told[0])


@pytest.mark.parametrize("content", [b"garbage" * 500, b"SQLite format 3\0" + b"x" * 5000])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(content)
    opened = Ledger.open(path, post=lambda call: call())
    record(opened, a_job())
    opened.close()
    assert opened.kept_as is not None
    assert opened.kept_as.read_bytes() == content
    assert opened.kept_as.name.startswith("ledger.db.corrupt-")


def test_a_page_overwritten_in_the_middle_is_noticed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    opened = Ledger.open(path, post=lambda call: call())
    record(opened, a_job(), Items(1, 1, [b"x" * 100] * 5000))
    opened.close()
    body = bytearray(path.read_bytes())
    body[40_000:120_000] = b"\xff" * 80_000
    path.write_bytes(bytes(body))
    again = Ledger.open(path, post=lambda call: call())
    again.close()
    assert again.kept_as is not None


def test_a_ledger_of_a_newer_covey_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    db = connect_writer(path)
    db.execute(f"PRAGMA user_version={LEDGER_VERSION + 4}")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerVersion, match="newer covey"):
        Ledger.open(path, post=lambda call: call())
    with pytest.raises(LedgerVersion, match="newer covey"):
        LedgerReader(path)
    assert path.read_bytes() == before


def test_an_older_ledger_is_migrated_step_by_step_or_not_at_all(tmp_path: Path) -> None:
    db = connect_writer(tmp_path / "ledger.db")

    def add_column(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE job ADD COLUMN colour TEXT DEFAULT 'blue'")

    def fail(db: sqlite3.Connection) -> None:
        db.execute("ALTER TABLE job ADD COLUMN smell TEXT")
        raise sqlite3.OperationalError("disk full")

    with pytest.raises(sqlite3.OperationalError):
        migrate(db, 1, 3, {1: add_column, 2: fail})
    assert db.execute("PRAGMA user_version").fetchone() == (2,)
    columns = [row[1] for row in db.execute("PRAGMA table_info(job)")]
    assert "colour" in columns
    assert "smell" not in columns
    with pytest.raises(LedgerVersion, match="version 2"):
        migrate(db, 2, 3, {})
    db.close()
