"""Output too large for its row: append-only files `jobs/<job>/<n>.seg` beside the ledger.

A row that is committed names (file, offset, lengths, crc32); bytes that no row names are the rest
of a write that was not committed, and harmless. A segment is synchronised before the commit that
names it. Few files per job: each is filled up to 64 MiB (a larger single piece gets a file of its
own).
"""

import contextlib
import os
import zlib
from pathlib import Path
from typing import NamedTuple

from covey.errors import ChecksumMismatch, FileError

#: A segment is closed when the next piece would make it longer than this.
SEGMENT_MAX_BYTES = 64 * 1024 * 1024
#: Segments kept open for writing: jobs that record large output at the same time.
OPEN_MAX = 16


class Ref(NamedTuple):
    """Where the output of one attempt is: out, err and value lie behind each other."""

    file: int
    offset: int
    out: int
    err: int
    value: int
    crc: int

    def __str__(self) -> str:
        return ":".join(map(str, self))

    @property
    def length(self) -> int:
        """Bytes in all."""
        return self.out + self.err + self.value


def ref_of(text: str) -> Ref:
    """The reference that stands in a row as `text`.

    Raises:
        FileError: it is no reference.
    """
    try:
        return Ref(*map(int, text.split(":")))
    except (TypeError, ValueError) as error:
        raise FileError(f"a row of the ledger names no segment: {text!r}") from error


class _Open:
    __slots__ = ("committed", "end", "fd", "number", "synced")

    def __init__(self, fd: int, number: int, end: int) -> None:
        self.fd = fd
        self.number = number
        self.end = end
        #: Up to here it is on the disk; up to here it is named by committed rows.
        self.synced = end
        self.committed = end


class SegmentWriter:
    """Appends to the segments of all jobs of one ledger. Belongs to the thread that writes."""

    def __init__(self, state_dir: Path) -> None:
        self._jobs_dir = state_dir / "jobs"
        self._open: dict[int, _Open] = {}
        #: Jobs that were appended to since the last commit.
        self._touched: set[int] = set()
        #: Directories with new names in them.
        self._dirty_dirs: set[Path] = set()

    def append(self, job: int, out: bytes, err: bytes, value: bytes) -> Ref:
        """Write one attempt's output; durable after `sync`.

        Raises:
            OSError: the disk is full or fails; nothing of it will be named.
        """
        body = b"".join((out, err, value))
        segment = self._segment(job, len(body))
        at = segment.end
        view = memoryview(body)
        done = 0
        while done < len(view):
            done += os.pwrite(segment.fd, view[done:], at + done)
        segment.end += len(body)
        self._touched.add(job)
        return Ref(segment.number, at, len(out), len(err), len(value), zlib.crc32(body))

    def sync(self) -> None:
        """Return when all that was appended is on the disk.

        Raises:
            OSError: it is not.
        """
        for job in self._touched:
            segment = self._open[job]
            if segment.synced != segment.end:
                os.fdatasync(segment.fd)
                segment.synced = segment.end
        while self._dirty_dirs:
            directory = next(iter(self._dirty_dirs))
            sync_directory(directory)
            self._dirty_dirs.discard(directory)

    def committed(self) -> None:
        """The rows that name what was appended are committed."""
        for job in self._touched:
            self._open[job].committed = self._open[job].end
        self._touched.clear()

    def rolled_back(self) -> None:
        """They are not: give the room back, so that trying again does not fill the disk."""
        for job in self._touched:
            segment = self._open[job]
            segment.end = segment.synced = segment.committed
            with contextlib.suppress(OSError):
                os.ftruncate(segment.fd, segment.end)
        self._touched.clear()

    def close(self) -> None:
        """Close all files. What was not synchronised may be lost."""
        for segment in self._open.values():
            os.close(segment.fd)
        self._open.clear()

    def _segment(self, job: int, length: int) -> _Open:
        segment = self._open.get(job)
        if segment is None:
            while len(self._open) >= OPEN_MAX:
                self._drop(next(iter(self._open)))
            directory = self._jobs_dir / str(job)
            self._make(directory)
            segment = self._open[job] = self._open_file(directory, _last_number(directory))
        if segment.end and segment.end + length > SEGMENT_MAX_BYTES:
            self._drop(job)
            directory = self._jobs_dir / str(job)
            segment = self._open[job] = self._open_file(directory, segment.number + 1)
        return segment

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._dirty_dirs |= {self._jobs_dir, self._jobs_dir.parent}

    def _open_file(self, directory: Path, number: int) -> _Open:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(directory / f"{number}.seg", flags, 0o600)
        self._dirty_dirs.add(directory)
        return _Open(fd, number, os.fstat(fd).st_size)

    def _drop(self, job: int) -> None:
        segment = self._open.pop(job)
        self._touched.discard(job)
        if segment.synced != segment.end:
            os.fdatasync(segment.fd)
        os.close(segment.fd)


def _last_number(directory: Path) -> int:
    numbers = [int(f.stem) for f in directory.glob("*.seg") if f.stem.isdigit()]
    return max(numbers, default=1)


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable.

    Raises:
        OSError: the disk fails.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_segment(places: list[Path], job: int, ref: Ref) -> tuple[bytes, bytes, bytes]:
    """Out, err and value of an attempt. `places`: where the job may be (a folded run moves).

    Raises:
        FileError: the segment is gone or cannot be read.
        ChecksumMismatch: the bytes are not those that were recorded.
    """
    for place in places:
        path = place / "jobs" / str(job) / f"{ref.file}.seg"
        try:
            with path.open("rb") as file:
                file.seek(ref.offset)
                body = file.read(ref.length)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}", path=str(path)) from error
        if len(body) != ref.length or zlib.crc32(body) != ref.crc:
            raise ChecksumMismatch(
                f"{path}: the output at {ref.offset} is damaged: run the task again to have it",
                path=str(path),
                expected=ref.crc,
                actual=zlib.crc32(body),
            )
        return body[: ref.out], body[ref.out : ref.out + ref.err], body[ref.out + ref.err :]
    raise FileError(
        f"the output of job {job} is gone from {places[0]}: somebody removed jobs/{job}",
        path=str(places[0]),
    )
