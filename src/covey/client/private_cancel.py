"""Cancels a private run from outside: `covey cancel N` while another process owns job N.

Nobody but its owner may write the run's ledger. So a run that is alive is first stopped as Ctrl-C
stops it (its lock says who owns it); then, as with one that was interrupted before, what has no
outcome is recorded as cancelled, and the run is folded.
"""

import os
import signal
import time
from pathlib import Path

from covey.agent import proctree
from covey.errors import JobRejected
from covey.model.job import FINAL_STATES, JobState
from covey.model.task import OutcomeState
from covey.scheduler.folding import fold
from covey.scheduler.ledger import Ledger
from covey.scheduler.locks import is_held
from covey.scheduler.reader import LedgerReader
from covey.scheduler.records import JobStateChanged, Outcomes
from covey.scheduler.rows import JobRow
from covey.scheduler.runs import RunDir
from covey.settings import Settings

#: Longest wait for the owner to stop its tasks and let go of the run.
STOP_MAX_S = 10.0
#: Between two looks at the lock.
_LOOK_S = 0.02
#: Tasks recorded as cancelled in one piece.
_PIECE = 2000


def cancel_run(settings: Settings, row: JobRow) -> str:
    """Cancel the private run of `row`; returns the state in which the job then is.

    Raises:
        JobRejected: its owner does not let go of it.
        LedgerError: its ledger cannot be written.
    """
    assert row.run is not None
    lock = row.run / "lock"
    if is_held(lock):
        _stop_owner(row, lock)
    if not row.run.is_dir():
        # It ended by itself meanwhile, and its owner folded it.
        return _state_in(settings.state_dir / "ledger.db", row.job)
    run = RunDir.open(settings.state_dir, row.job)
    try:
        state = _state_in(run.ledger_path, row.job)
        if state not in FINAL_STATES:
            _record_cancelled(run.ledger_path, row.job)
            state = str(JobState.CANCELLED)
    finally:
        run.close()
    fold(settings.state_dir)
    return state


def _stop_owner(row: JobRow, lock: Path) -> None:
    owner = _owner_of(lock)
    if owner:
        # Where it has just ended, its lock is free.
        proctree.signal_all([owner], signal.SIGINT)
    until = time.monotonic() + STOP_MAX_S
    while is_held(lock):
        # One that was killed is not known any more, and what it started takes a second to end.
        if time.monotonic() > until:
            raise JobRejected(
                f"job {row.job} belongs to another covey on this machine, which goes on with it:"
                " press Ctrl-C there",
                job=row.job,
            )
        time.sleep(_LOOK_S)


def _owner_of(lock: Path) -> int:
    """The process that took the lock, 0 = not known. The kernel tells it where /proc has locks."""
    try:
        there = lock.stat()
        wanted = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and wanted in words:
                pid = int(words[words.index(wanted) - 1])
                return pid if os.stat(f"/proc/{pid}").st_uid == os.getuid() else 0
    except (OSError, ValueError):
        return 0
    return 0


def _state_in(ledger: Path, job: int) -> str:
    reader = LedgerReader(ledger)
    try:
        return reader.job(job).state
    finally:
        reader.close()


def _record_cancelled(path: Path, job: int) -> None:
    ledger = Ledger.open(path, post=lambda call: call())
    try:
        reader = LedgerReader(path)
        try:
            known = reader.restore(job)
        finally:
            reader.close()
        term, now = ledger.raise_term(), time.time()
        done = known.done
        pending = [i for i in range(1, known.held + 1) if not done[i >> 3] >> (i & 7) & 1]
        for at in range(0, len(pending), _PIECE):
            ids = pending[at : at + _PIECE]
            count = len(ids)
            states = [OutcomeState.CANCELLED] * count
            ledger.write([Outcomes(job, term, ids, [1] * count, states, "", [None] * count, now)])
        why = "cancelled while nobody ran it"
        ledger.write([JobStateChanged(job, JobState.CANCELLED, why, now)])
    finally:
        ledger.close()
