"""Builders for tests of the ledger."""

import threading
from pathlib import Path

from covey.model.job import JobSpec
from covey.model.pack import pack
from covey.model.report import Report
from covey.model.task import OutcomeState
from covey.scheduler.ledger import Items, JobSealed, JobStateChanged, Ledger, NewJob, Op, Outcomes
from covey.testing.waiting import WAIT_MAX_S
from covey.wire.codec import spec_to_wire


def a_job(job: int = 1, name: str = "a job") -> NewJob:
    spec = pack(spec_to_wire(JobSpec(name=name)))
    return NewJob(job, f"key-{job}", spec, "running", 100.0, name)


def outcomes(
    ids: list[int], *, job: int = 1, state: int = OutcomeState.SUCCEEDED, **report: object
) -> Outcomes:
    reports = [Report(started=1.0, ended=2.0, slot=1, **report) for _ in ids]  # pyright: ignore
    return Outcomes(job, 1, ids, [1] * len(ids), [state] * len(ids), "local", reports, 3.0)


def record(ledger: Ledger, *ops: Op) -> None:
    """Write and wait until it is durable."""
    done = threading.Event()
    ledger.write(list(ops), done.set)
    assert done.wait(WAIT_MAX_S), f"not recorded: {ledger.failing}"


def open_ledger(path: Path) -> Ledger:
    return Ledger.open(path, post=lambda call: call())


def write_job(path: Path, job: int, *, tasks: int = 3, state: str = "succeeded") -> None:
    """A ledger with one job; its first task has large output."""
    ledger = open_ledger(path)
    record(ledger, a_job(job), Items(job, 1, [b"item %d" % i for i in range(1, tasks + 1)]))
    record(ledger, outcomes([1], job=job, out=b"o" * 10_000), JobSealed(job, tasks))
    if tasks > 1:
        record(ledger, outcomes(list(range(2, tasks + 1)), job=job, out=b"out"))
    if state != "running":
        record(ledger, JobStateChanged(job, state, "", 200.0))
    ledger.close()
