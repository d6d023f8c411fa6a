"""Private runs: `runs/<N>/`, each with its own ledger and a lock that its root process holds.

<state>/counter        the last job number given, shared with the head
<state>/runs/<N>/lock  held while the run lives, by whoever has a copy of its descriptor
<state>/runs/<N>/ledger.db, jobs/<N>/*.seg
<state>/runs/.new-<pid>-…, .gone-…   being made, being removed
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from covey.errors import JobNotFound, LedgerError, StateInUse
from covey.scheduler import locks
from covey.scheduler.opening import explained
from covey.scheduler.view import LedgerView, runs_dir

_COUNTER = re.compile(rb"\d{20}\n")
_PRIVATE = 0o700


@dataclass(slots=True)
class RunDir:
    """A private run that we hold; `lock_fd` may be passed on to the root process."""

    number: int
    path: Path
    lock_fd: int

    @property
    def ledger_path(self) -> Path:
        """The run's own ledger."""
        return self.path / "ledger.db"

    @classmethod
    def create(cls, state_dir: Path) -> "RunDir":
        """A new run with the next job number.

        Raises:
            LedgerError: the state directory cannot be written (DiskFull: has no room).
        """
        number = next_job_number(state_dir)
        runs = runs_dir(state_dir)
        path = runs / str(number)
        made = runs / f".new-{os.getpid()}-{number}"
        try:
            made.mkdir(_PRIVATE, parents=True)
            fd = locks.take(made / "lock", inheritable=True)
            # It appears under its number with its lock held: nobody takes it for a dead one.
            made.rename(path)
        except OSError as error:
            raise explained(error, path) from error
        return cls(number, path, fd)

    @classmethod
    def open(cls, state_dir: Path, number: int) -> "RunDir":
        """An unfinished run, to go on with it.

        Raises:
            JobNotFound: there is no such run (it may have been folded).
            StateInUse: it is alive.
        """
        path = runs_dir(state_dir) / str(number)
        if not path.is_dir():
            raise JobNotFound(f"job {number} is no unfinished run: see covey jobs", job=number)
        try:
            fd = locks.take(path / "lock", inheritable=True)
        except StateInUse as error:
            raise StateInUse(
                f"job {number} is running: follow it with: covey attach {number}",
                path=str(path),
            ) from error
        except LedgerError:
            if path.is_dir():
                raise
            raise JobNotFound(f"job {number} was folded just now", job=number) from None
        return cls(number, path, fd)

    def close(self) -> None:
        """Give up our copy of the lock."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1


def next_job_number(state_dir: Path) -> int:
    """A job number that was never given before, to anybody in this state directory.

    Raises:
        LedgerError: the counter cannot be written (DiskFull: no room).
    """
    path = state_dir / "counter"
    try:
        state_dir.mkdir(_PRIVATE, parents=True, exist_ok=True)
        fd = locks.take(path, wait_s=locks.SHORT_LOCK_TIMEOUT_S)
    except OSError as error:
        raise explained(error, path) from error
    try:
        text = os.pread(fd, 32, 0)
        # A counter that is new, or was torn by a power cut, starts behind all that is known.
        last = int(text) if _COUNTER.fullmatch(text) else _highest_known(state_dir)
        os.pwrite(fd, b"%020d\n" % (last + 1), 0)
        os.ftruncate(fd, 21)
        os.fsync(fd)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        os.close(fd)
    return last + 1


def _highest_known(state_dir: Path) -> int:
    return LedgerView(state_dir).last_job()
