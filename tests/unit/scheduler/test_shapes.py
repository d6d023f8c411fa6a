"""Jobs whose items have several shapes, some of which came after the job was submitted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.ledgers import a_job, open_ledger, outcomes, record

from covey.core.events import Added, Event, Opened, Shaped
from covey.core.jobs import Job
from covey.errors import JobNotFound, JobRejected
from covey.files.blobs import BlobStore
from covey.model.job import JobSpec, Shape
from covey.model.task import Attempt
from covey.scheduler.durable import DurableJobs, LedgerPayloads
from covey.scheduler.folding import fold
from covey.scheduler.ledger import Items, JobSealed, JobStateChanged, Ledger
from covey.scheduler.opening import connect_writer
from covey.scheduler.pruning import prune
from covey.scheduler.reader import LedgerReader
from covey.scheduler.records import NewShape, ShapeFrom
from covey.scheduler.runs import runs_dir
from covey.wire.codec import shape_from_wire, shape_to_wire, spec_to_wire

FIRST, SECOND = Shape(context="1"), Shape(context="2", slots=2, machines=("lab1",))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = open_ledger(tmp_path / "ledger.db")
    yield opened
    opened.close()


class Desk:
    """DurableJobs on a real ledger, and what the scheduler was told."""

    def __init__(self, ledger: Ledger, tmp_path: Path) -> None:
        self.told: list[Event] = []
        self.held: list[int] = []
        reader, blobs = LedgerReader(ledger.path), BlobStore(tmp_path / "blobs")
        self.jobs = DurableJobs(
            ledger=ledger,
            reader=reader,
            payloads=LedgerPayloads(reader, blobs),
            blobs=blobs,
            handle=self.told.append,
            next_number=lambda: 1,
        )
        self.reader = reader


def test_a_restart_knows_which_item_has_which_shape(ledger: Ledger, tmp_path: Path) -> None:
    desk = Desk(ledger, tmp_path)
    spec = spec_to_wire(JobSpec(shapes=(FIRST,)))
    job = desk.jobs.submit("key", spec, lambda _: None)
    desk.jobs.add(job, 1, 1, [b"a", b"b"], desk.held.append)
    desk.jobs.shape(job, 2, SECOND, desk.held.append)
    desk.jobs.shape(job, 2, replace(SECOND, slots=9), desk.held.append)
    desk.jobs.add(job, 2, 3, [b"c"], desk.held.append)
    desk.jobs.add(job, 2, 4, [b"d"], desk.held.append)
    desk.jobs.add(job, 1, 5, [b"e"], desk.held.append)
    record(ledger)
    assert [type(event) for event in desk.told] == [Opened, Added, Shaped, Added, Added, Added]
    restored = desk.reader.restore(job)
    assert restored.spec.shapes == (FIRST, SECOND)
    assert restored.spans == [(3, 2), (5, 1)]
    # And goes on where the first one was.
    again = Desk(ledger, tmp_path)
    again.jobs.restore()
    with pytest.raises(JobRejected, match="no shape 3"):
        again.jobs.add(job, 3, 6, [b"f"], desk.held.append)
    again.reader.close()
    desk.reader.close()


def test_shapes_come_one_after_the_other(ledger: Ledger, tmp_path: Path) -> None:
    desk = Desk(ledger, tmp_path)
    job = desk.jobs.submit("key", spec_to_wire(JobSpec()), lambda _: None)
    with pytest.raises(JobRejected, match="no shape 1"):
        desk.jobs.add(job, 1, 1, [b"a"], desk.held.append)
    with pytest.raises(JobRejected, match="2 is not the next"):
        desk.jobs.shape(job, 2, FIRST, desk.held.append)
    with pytest.raises(JobNotFound):
        desk.jobs.shape(99, 1, FIRST, desk.held.append)
    desk.reader.close()


def test_restored_tasks_wait_each_in_its_shape() -> None:
    job = Job(1, JobSpec(shapes=(FIRST, SECOND)), 2)
    job.spans = [(3, 2), (5, 1)]
    job.held_back.add(2, 3)
    job.spread(5, 2)
    assert [task in job.pending[1] for task in (5, 6)] == [True, True]
    assert job.adopt(3, Attempt(1, 1), "lab1", 0.0)
    assert job.running[3].shape == 2
    job.release()
    assert not job.held_back.count
    assert (2 in job.pending[1], 4 in job.pending[2]) == (True, True)


def test_a_ledger_of_the_first_version_gets_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    db = connect_writer(path)
    for table in ("shape", "span", "phase"):
        db.execute(f"DROP TABLE {table}")
    db.execute("PRAGMA user_version=1")
    db.close()
    ledger = open_ledger(path)
    body = b"\x90"
    record(ledger, a_job(), NewShape(1, 1, body), ShapeFrom(1, 1, 1), Items(1, 1, [b"x"]))
    ledger.close()
    with_tables = connect_writer(path)
    assert with_tables.execute("SELECT first, shape FROM span").fetchall() == [(1, 1)]
    with_tables.close()


def test_they_are_folded_and_forgotten_with_their_job(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = open_ledger(runs_dir(state) / "4" / "ledger.db")
    record(run, a_job(4), NewShape(4, 2, b"\x90"), ShapeFrom(4, 2, 2), Items(4, 1, [b"a", b"b"]))
    record(run, outcomes([1, 2], job=4), JobSealed(4, 2), JobStateChanged(4, "succeeded", "", 2.0))
    run.close()
    assert fold(state).folded == [4]
    db = connect_writer(state / "ledger.db")
    assert db.execute("SELECT * FROM span").fetchall() == [(4, 2, 2)]
    assert prune(state, 1.0, now=1e9).jobs == [4]
    assert db.execute(
        "SELECT (SELECT count(*) FROM span), (SELECT count(*) FROM shape)"
    ).fetchone() == (0, 0)
    db.close()


def test_a_shape_of_an_older_covey_has_what_it_lacks_as_usual() -> None:
    assert shape_from_wire(shape_to_wire(SECOND)) == SECOND
    assert shape_from_wire(["command", "1"]) == FIRST
