"""The joblog of `covey map`: GNU parallel's columns, written as tasks end, read again by --resume.

    Seq Host Starttime JobRuntime Send Receive Exitval Signal Command      (TAB between them)

A newline inside a command stands as NUL, so that each task is one line. Only whole lines count when
it is read: the last one may have been cut by a crash.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from covey.cli.map.plan import MapPlan
from covey.cli.map.rows import Logged
from covey.errors import FileError, UsageError

HEADER = b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n"
_COLUMNS = 9


@dataclass(slots=True)
class Joblog:
    """What a joblog says about earlier runs."""

    #: Tasks that ended, however.
    seen: set[int] = field(default_factory=set[int])
    #: Tasks that succeeded at least once.
    succeeded: set[int] = field(default_factory=set[int])
    #: The latest command of each task that did not succeed, in the order of the log.
    failed: dict[int, bytes] = field(default_factory=dict[int, bytes])

    def skips(self, plan: MapPlan) -> set[int]:
        """The tasks that --resume or --resume-failed leaves out."""
        if plan.resume_failed:
            return self.succeeded
        return self.seen if plan.resume else set()


def read_joblog(path: Path) -> Joblog:
    """Reads a joblog; one that does not exist is empty, lines that are none are passed over.

    Raises:
        UsageError: it cannot be read, or is another kind of file.
    """
    log = Joblog()
    try:
        with path.open("rb") as file:
            _check_header(path, file)
            for line in file:
                _take(log, line)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"cannot read the joblog {path}: {error.strerror}") from error
    return log


def _check_header(path: Path, file: BinaryIO) -> None:
    # Cut by a crash, it is shorter. A file of the user's own must not get lines of ours.
    if not HEADER.startswith(file.readline(len(HEADER))):
        raise UsageError(
            f"{path} is no joblog: its first line is not that of one — give --joblog another file"
        )


def _take(log: Joblog, line: bytes) -> None:
    cells = line.split(b"\t", _COLUMNS - 1)
    if len(cells) < _COLUMNS or not line.endswith(b"\n"):
        return
    try:
        seq, exitval, signal = int(cells[0]), int(cells[6]), int(cells[7])
    except ValueError:
        return
    log.seen.add(seq)
    if exitval == 0 and signal == 0:
        log.succeeded.add(seq)
        log.failed.pop(seq, None)
    elif seq not in log.succeeded:
        log.failed[seq] = cells[8][:-1].replace(b"\0", b"\n")


class JoblogWriter:
    """Appends a line for each task; what is written is in the file after `flush`.

    Raises:
        UsageError: the file cannot be opened, or `append` and it is none (at once, before anything
            runs).
        FileError: the disk is full, or the file went away.
    """

    def __init__(self, path: Path, *, append: bool) -> None:
        self._path = path
        try:
            self._file = path.open("ab+" if append else "wb+")
            size_bytes = self._file.seek(0, os.SEEK_END)
            if size_bytes == 0:
                self._file.write(HEADER)
            else:
                self._file.seek(0)
                _check_header(path, self._file)
                self._file.seek(-1, os.SEEK_END)
                if self._file.read(1) != b"\n":
                    # A crash cut the last line: end it, so that ours stands alone.
                    self._file.write(b"\n")
            self._file.flush()
        except UsageError:
            self._file.close()
            raise
        except OSError as error:
            raise UsageError(
                f"cannot write the joblog {path}: {error.strerror} — give --joblog a file that you"
                " may write"
            ) from error

    def write(self, task: Logged) -> None:
        """Adds a line."""
        self._write(joblog_line(task))

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
        except OSError as error:
            raise FileError(
                f"cannot write the joblog {self._path}: {error.strerror}", path=self._path
            ) from error

    def flush(self) -> None:
        """Hands what was written to the operating system."""
        try:
            self._file.flush()
        except OSError as error:
            raise FileError(
                f"cannot write the joblog {self._path}: {error.strerror}", path=self._path
            ) from error

    def close(self) -> None:
        """Flushes and closes."""
        self.flush()
        self._file.close()


def joblog_line(task: Logged) -> bytes:
    """One line of a joblog, spelled as GNU parallel spells it."""
    columns = (
        f"{task.seq}\t{task.host}\t{task.started:.3f}\t{task.runtime_s:10.3f}\t{task.send}"
        f"\t{task.receive}\t{task.exitval}\t{task.signal}\t"
    )
    return columns.encode() + task.command.replace(b"\n", b"\0") + b"\n"


def appends(plan: MapPlan) -> bool:
    """Whether the joblog of a plan goes on where it ends, instead of beginning anew."""
    return plan.joblog_appends or plan.is_numbered
