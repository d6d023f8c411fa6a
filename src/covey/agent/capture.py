"""What a command writes goes to two nameless files, used again by the next command.

No pipes: nothing has to be read while the command runs, and a command that outlives a reader does
not block. Over the limit a hole is punched into the middle, so that a disk holds about the limit,
too.
"""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from mmap import mmap

from covey.agent.frames import CAPTURES, CAPTURES_AT
from covey.agent.outbox import flush_stdio, raise_fd
from covey.model.report import Report

_PUNCH_HOLE = 0x03  # FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
_BLOCK_BYTES = 4096


class Capture:
    """The files behind stdout and stderr.

    directory: where the files are, without names; where it cannot hold such files they are in
    memory.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self.out = _nameless(directory)
        self.err = _nameless(directory)

    def sizes(self) -> tuple[int, int]:
        """Bytes written so far to (stdout, stderr)."""
        # Both are opened to append, so nobody minds where they stand; fstat costs much more.
        return os.lseek(self.out, 0, os.SEEK_END), os.lseek(self.err, 0, os.SEEK_END)

    def take(self, report: Report, limit: int) -> None:
        """Moves what was written into a report, `limit` bytes per stream, and empties the files."""
        report.out_size, report.err_size = self.sizes()
        if report.out_size:
            report.out = _take(self.out, report.out_size, limit)
        if report.err_size:
            report.err = _take(self.err, report.err_size, limit)

    def trim(self, limit: int) -> None:
        """Frees the disk space of what will be cut anyway; called while a command runs."""
        for fd, size in zip((self.out, self.err), self.sizes(), strict=True):
            if size > limit + _BLOCK_BYTES:
                half = limit // 2
                first = -(-half // _BLOCK_BYTES) * _BLOCK_BYTES
                last = (size - half) // _BLOCK_BYTES * _BLOCK_BYTES
                if last > first:
                    _punch(fd, first, last - first)

    def replace(self) -> None:
        """New files: a stray process may still write to the old ones."""
        self.close()
        self.__init__(self._directory)

    def announce(self, page: mmap) -> None:
        """Notes the descriptors in the page, for who reads along."""
        CAPTURES.pack_into(page, CAPTURES_AT, self.out, self.err)

    def close(self) -> None:
        """Gives the files up."""
        for fd in (self.out, self.err):
            with suppress(OSError):
                os.close(fd)

    @contextmanager
    def of_this_process(self, page: mmap) -> Generator[None]:
        """Captures what this process itself (and what it starts) writes."""
        self.announce(page)
        saved = [raise_fd(os.dup(1)), raise_fd(os.dup(2))]
        flush_stdio()
        os.dup2(self.out, 1)
        os.dup2(self.err, 2)
        try:
            yield
        finally:
            flush_stdio()
            for number, fd in enumerate(saved, 1):
                os.dup2(fd, number)
                os.close(fd)


def _nameless(directory: str) -> int:
    try:
        flags = os.O_TMPFILE | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(directory, flags, 0o600)
    except (OSError, AttributeError):
        fd = os.memfd_create("covey-capture", os.MFD_CLOEXEC)
        fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
    return raise_fd(fd)


def _take(fd: int, size: int, limit: int) -> bytes:
    if size <= limit:
        data = os.pread(fd, size, 0)
    else:
        half = limit // 2
        note = b"\n[covey: %d bytes left out]\n" % (size - 2 * half)
        data = os.pread(fd, half, 0) + note + os.pread(fd, half, size - half)
    os.ftruncate(fd, 0)
    return data


def _punch(fd: int, start: int, length: int) -> None:
    # Imported when needed: hardly any task writes so much.
    import ctypes

    with suppress(AttributeError, OSError):
        fallocate = ctypes.CDLL(None).fallocate
        offset = ctypes.c_int64
        fallocate(fd, _PUNCH_HOLE, offset(start), offset(length))
