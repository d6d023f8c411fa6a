"""Forgetting jobs that ended long ago, in small steps, so that nobody waits for it."""

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from covey.model.job import FINAL_STATES
from covey.scheduler import locks
from covey.scheduler.folding import fold
from covey.scheduler.opening import connect_writer, explained

#: Rows of one transaction: the writer of a head waits no longer than for one such slice.
SLICE_ROWS = 10_000
#: Pages given back to the file system in one transaction.
_SLICE_PAGES = 1000

_SLICES = (
    "DELETE FROM outcome WHERE seq IN (SELECT seq FROM outcome WHERE job = :job LIMIT :slice)",
    "DELETE FROM attempt WHERE seq IN (SELECT seq FROM attempt WHERE job = :job LIMIT :slice)",
    "DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE job = :job LIMIT :slice)",
    "DELETE FROM phase WHERE job = :job AND idx <= (SELECT max(idx) FROM"
    " (SELECT idx FROM phase WHERE job = :job ORDER BY idx LIMIT :slice))",
    "DELETE FROM item WHERE job = :job AND idx <= (SELECT max(idx) FROM"
    " (SELECT idx FROM item WHERE job = :job ORDER BY idx LIMIT :slice))",
)


@dataclass(slots=True)
class Pruned:
    """What was forgotten."""

    jobs: list[int] = field(default_factory=list[int])
    rows: int = 0
    #: Bytes of segments and of the ledger's file that were given back.
    size_bytes: int = 0


def prune(state_dir: Path, older_than_s: float, *, now: float) -> Pruned:
    """Forget the jobs that ended more than `older_than_s` before `now` (seconds since the epoch).

    Jobs that have not ended stay, and so do runs that were interrupted. May run beside a head.
    Killed at any point, the next call goes on.

    Raises:
        StateInUse: another prune is under way.
        LedgerError: the ledger cannot be written.
    """
    ledger = state_dir / "ledger.db"
    report = Pruned()
    fold(state_dir)
    if not ledger.exists():
        return report
    fd = locks.take(state_dir / "prune.lock")
    try:
        with closing(connect_writer(ledger)) as db:
            marks = ",".join("?" * len(FINAL_STATES))
            found = db.execute(
                f"SELECT id FROM job WHERE ended < ? AND state IN ({marks}) ORDER BY id",
                (now - older_than_s, *FINAL_STATES),
            ).fetchall()
            for (job,) in found:
                _forget(db, state_dir, job, report)
            if found:
                _shrink(db, ledger, report)
    except sqlite3.Error as error:
        raise explained(error, ledger) from error
    finally:
        os.close(fd)
    return report


def _forget(db: sqlite3.Connection, state_dir: Path, job: int, report: Pruned) -> None:
    for statement in _SLICES:
        while removed := db.execute(statement, {"job": job, "slice": SLICE_ROWS}).rowcount:
            report.rows += removed
    directory = state_dir / "jobs" / str(job)
    if directory.is_dir():
        report.size_bytes += sum(file.stat().st_size for file in directory.iterdir())
        shutil.rmtree(directory, ignore_errors=True)
    # Last of all: as long as the row is there, the next call finds what this one left.
    db.execute("BEGIN IMMEDIATE")
    for table in ("shape", "span", "spec"):
        db.execute(f"DELETE FROM {table} WHERE job = ?", (job,))
    db.execute("DELETE FROM job WHERE id = ?", (job,))
    db.execute("COMMIT")
    report.jobs.append(job)


def _shrink(db: sqlite3.Connection, ledger: Path, report: Pruned) -> None:
    before = ledger.stat().st_size
    while db.execute("PRAGMA freelist_count").fetchone()[0]:
        db.execute(f"PRAGMA incremental_vacuum({_SLICE_PAGES})").fetchall()
    db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
    report.size_bytes += max(0, before - ledger.stat().st_size)
