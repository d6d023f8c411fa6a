"""Finished private runs become part of the ledger of their cluster.

For each run, with its lock held: its segments are renamed into the cluster's, its rows copied in
one transaction, its directory removed. Killed between any two steps, the next fold goes on:
segments that are not there were renamed; a job that is there, under its key, was copied.
"""

import os
import shutil
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from covey.errors import CoveyError, LedgerCorrupt, LedgerError, StateInUse
from covey.model.job import FINAL_STATES
from covey.scheduler import locks
from covey.scheduler.locks import head_is_up
from covey.scheduler.opening import connect_writer, explained, keep_aside
from covey.scheduler.schema import ROW_COLUMNS
from covey.scheduler.segments import sync_directory
from covey.scheduler.view import run_numbers, runs_dir

_SHARED = ROW_COLUMNS.replace("agent", "(SELECT id FROM agent g WHERE g.name = a.name)")
_COPY = f"""
INSERT OR IGNORE INTO agent(name) SELECT name FROM run.agent;
INSERT INTO job(id, key, state, reason, term, held, total, done, succeeded, failed, cancelled, hwm,
        seq_base, first_seq, last_seq, created, ended)
    SELECT id, key, state, reason, term, held, total, done, succeeded, failed, cancelled, hwm,
        seq_base + :base, first_seq + :base, iif(last_seq, last_seq + :base, 0), created, ended
    FROM run.job WHERE id = :job;
INSERT INTO spec SELECT * FROM run.spec WHERE job = :job;
INSERT INTO shape SELECT * FROM run.shape WHERE job = :job;
INSERT INTO span SELECT * FROM run.span WHERE job = :job;
INSERT INTO phase SELECT * FROM run.phase WHERE job = :job;
INSERT INTO item SELECT * FROM run.item WHERE job = :job;
INSERT INTO outcome(seq, {ROW_COLUMNS}, visible)
    SELECT seq + :base, {_SHARED}, visible FROM run.outcome o JOIN run.agent a ON a.id = o.agent
    WHERE job = :job ORDER BY seq;
INSERT INTO attempt({ROW_COLUMNS})
    SELECT {_SHARED} FROM run.attempt o JOIN run.agent a ON a.id = o.agent
    WHERE job = :job ORDER BY seq;
INSERT INTO event(job, at, kind, text)
    SELECT job, at, kind, text FROM run.event WHERE job = :job ORDER BY seq
"""


@dataclass(slots=True)
class Folded:
    """What a fold found."""

    #: Jobs that are now in the ledger of the cluster.
    folded: list[int] = field(default_factory=list[int])
    #: Jobs that were interrupted: they stay until `covey resume`.
    unfinished: list[int] = field(default_factory=list[int])
    #: Finished runs that only the head may fold, because one is up.
    for_head: list[int] = field(default_factory=list[int])
    #: Runs that could not be folded, and why.
    problems: list[CoveyError] = field(default_factory=list[CoveyError])


def fold(state_dir: Path, *, by_head: bool = False) -> Folded:
    """Fold all finished runs whose processes are gone. Costs nothing where there is none.

    by_head: the caller is the head; else nothing is touched while one is up. One fold at a time; a
    second one returns without waiting.

    Raises:
        LedgerError: the ledger of the cluster cannot be written.
    """
    report = Folded()
    if not runs_dir(state_dir).is_dir():
        return report
    with suppress(StateInUse), _locked(state_dir / "fold.lock"):
        is_head_up = not by_head and head_is_up(state_dir)
        if not is_head_up:
            _sweep(runs_dir(state_dir))
        for number in run_numbers(state_dir):
            try:
                with _locked(runs_dir(state_dir) / str(number) / "lock"):
                    _try(state_dir, number, is_head_up, report)
            except StateInUse:
                continue
            except LedgerCorrupt as error:
                report.problems.append(_set_aside(state_dir, number, error))
            except CoveyError as error:
                report.problems.append(error)
    return report


def fold_unfinished(state_dir: Path, number: int) -> None:
    """The head takes an interrupted run over: fold it although it has not ended.

    Raises:
        StateInUse: the run is alive, or a fold is under way.
        LedgerError: it cannot be done; the run stays as it is.
    """
    with _locked(state_dir / "fold.lock", locks.SHORT_LOCK_TIMEOUT_S):
        path = runs_dir(state_dir) / str(number)
        if path.is_dir():
            with _locked(path / "lock"):
                _fold_one(state_dir, number)


def _try(state_dir: Path, number: int, is_head_up: bool, report: Folded) -> None:
    ledger = state_dir / "ledger.db"
    try:
        _consider(state_dir, number, is_head_up, report)
    except LedgerCorrupt as error:
        if error.data.get("path") != str(ledger):
            raise
        # Not the run is damaged, but what it is to become part of.
        kept = keep_aside(ledger)
        told = f"{error}: it is kept as {kept}, and a new ledger was begun"
        report.problems.append(LedgerCorrupt(told, path=str(ledger), kept_as=str(kept)))
        _consider(state_dir, number, is_head_up, report)


def _consider(state_dir: Path, number: int, is_head_up: bool, report: Folded) -> None:
    state = _state_of(runs_dir(state_dir) / str(number), number)
    if state is not None and state not in FINAL_STATES:
        report.unfinished.append(number)
    elif is_head_up:
        report.for_head.append(number)
    elif state is None:
        # Killed before it recorded its job: nothing was ever promised.
        _remove(runs_dir(state_dir), number)
    else:
        _fold_one(state_dir, number)
        report.folded.append(number)


def _state_of(path: Path, number: int) -> str | None:
    """The state of the run's job; None if it has none. Brings an older ledger up to date."""
    if not (path / "ledger.db").exists():
        return None
    with closing(connect_writer(path / "ledger.db", is_thorough=False)) as db:
        found = db.execute("SELECT state FROM job WHERE id = ?", (number,)).fetchone()
    return found[0] if found else None


def _fold_one(state_dir: Path, number: int) -> None:
    _move_segments(state_dir, number)
    _copy_rows(state_dir, number)
    _remove(runs_dir(state_dir), number)


def _move_segments(state_dir: Path, number: int) -> None:
    source = runs_dir(state_dir) / str(number) / "jobs" / str(number)
    target = state_dir / "jobs" / str(number)
    if not source.is_dir():
        return
    try:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        source.rename(target)
        sync_directory(target.parent)
        sync_directory(source.parent)
    except OSError as error:
        raise explained(error, target) from error


def _copy_rows(state_dir: Path, number: int) -> None:
    ledger = state_dir / "ledger.db"
    source = runs_dir(state_dir) / str(number) / "ledger.db"
    with closing(connect_writer(ledger, is_thorough=False)) as db:
        try:
            db.execute("ATTACH ? AS run", (str(source),))
            db.execute("BEGIN IMMEDIATE")
            if not _is_there(db, number, ledger):
                found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'outcome'")
                base = (found.fetchone() or (0,))[0]
                for statement in _COPY.split(";"):
                    db.execute(statement, {"job": number, "base": base})
            db.execute("COMMIT")
            db.execute("DETACH run")
            db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as error:
            raise explained(error, ledger) from error


def _is_there(db: sqlite3.Connection, number: int, ledger: Path) -> bool:
    ours = db.execute("SELECT key FROM main.job WHERE id = ?", (number,)).fetchone()
    theirs = db.execute("SELECT key FROM run.job WHERE id = ?", (number,)).fetchone()
    if ours is None:
        return False
    if ours != theirs:
        raise LedgerError(
            f"{ledger} holds another job {number}: the run of this number stays in runs/{number}",
            path=str(ledger),
        )
    return True


def _remove(runs: Path, number: int) -> None:
    gone = runs / f".gone-{number}"
    try:
        (runs / str(number)).rename(gone)
    except OSError as error:
        raise explained(error, gone) from error
    shutil.rmtree(gone, ignore_errors=True)


def _set_aside(state_dir: Path, number: int, error: LedgerCorrupt) -> CoveyError:
    """A run whose ledger is damaged is not tried again by each command."""
    path = runs_dir(state_dir) / str(number)
    kept = path.with_name(f"{number}.corrupt")
    with suppress(OSError):
        path.rename(kept)
    return LedgerCorrupt(f"{error}: kept as {kept}", path=str(path), kept_as=str(kept))


def _sweep(runs: Path) -> None:
    """Remove what was being made or removed by processes that are dead."""
    for path in runs.glob(".*-*"):
        kind, _, rest = path.name.partition("-")
        owner = rest.partition("-")[0]
        if kind == ".new" and (locks.is_held(path / "lock") or _is_alive(owner)):
            continue
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _locked(path: Path, wait_s: float = locks.LOOK_S) -> Generator[None]:
    fd = locks.take(path, wait_s=wait_s)
    try:
        yield
    finally:
        os.close(fd)
