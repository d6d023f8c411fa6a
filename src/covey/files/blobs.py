"""Bytes under the name of their sha256, on disk.

    <dir>/ab/cdef…      a whole blob, checked before it got this name
    <dir>/part/<digest> a blob that is still arriving: bytes 0 … its length, to be resumed

A blob under its name never changes. Readers check nothing again: `verify` does.
"""

import errno
import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from covey.errors import BlobMissing, ChecksumMismatch, DiskFull, FileError

#: Bytes of all blobs of a store, if its owner sets nothing else.
QUOTA_BYTES = 10 * 1024 * 1024 * 1024
#: Bytes read or written at once.
BLOCK_BYTES = 1024 * 1024

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class BlobStore:
    """Content-addressed files in one private directory. Any thread; any number of processes."""

    def __init__(self, directory: Path, *, quota_bytes: int = QUOTA_BYTES) -> None:
        """Use `directory`, which is made (0700) when the first blob comes."""
        self.directory = directory
        self.quota_bytes = quota_bytes
        #: Bytes in whole blobs, counted once and then kept; None = not counted yet.
        self._total: int | None = None

    def put(self, data: bytes | memoryview) -> str:
        """Keep `data`; returns its digest. Durable when it returns.

        Raises:
            FileError: the quota is used up, or the disk fails (DiskFull: is full).
        """
        digest = hashlib.sha256(data).hexdigest()
        if not self.has(digest):
            self._make_room(digest, len(data))
            made = self._new_part(digest)
            try:
                _write_all(made, 0, data)
                self._publish(made, digest, len(data))
            except OSError as error:
                made.unlink(missing_ok=True)
                raise _explained(error, made) from error
        return digest

    def put_file(self, path: Path) -> str:
        """Keep a copy of a file; returns its digest.

        Raises:
            FileError: the file cannot be read, or as `put`.
            ChecksumMismatch: the file changed while it was read.
        """
        try:
            digest, size = _digest_of_file(path)
            if self.has(digest):
                return digest
            self._make_room(digest, size)
            made = self._new_part(digest)
        except OSError as error:
            raise _explained(error, path) from error
        at = 0
        try:
            with path.open("rb") as source:
                while block := source.read(BLOCK_BYTES):
                    _write_all(made, at, block)
                    at += len(block)
            self._check_and_publish(made, digest)
        except OSError as error:
            raise _explained(error, made) from error
        finally:
            made.unlink(missing_ok=True)
        return digest

    def held(self, digest: str) -> int:
        """Bytes of a blob that is arriving; of a whole one its size; 0 = nothing."""
        if self.has(digest):
            return self.size(digest)
        with suppress(OSError):
            return self._part(digest).stat().st_size
        return 0

    def put_chunk(self, digest: str, offset: int, size: int, data: bytes) -> int:
        """A piece of a blob of `size` bytes that arrives in order; returns the bytes held now.

        A piece that begins behind what is held is not taken; one that was held already does no
        harm. With the last one the blob is checked and gets its name. One writer per digest.

        Raises:
            ChecksumMismatch: the bytes are not those of the digest; they are thrown away.
            FileError: the piece does not fit in `size`, the quota, or the disk.
        """
        if self.has(digest):
            return self.size(digest)
        if offset < 0 or size < 0 or offset + len(data) > size:
            raise FileError(f"a piece of blob {digest[:12]} lies outside of its {size} bytes")
        held = self.held(digest)
        if offset > held:
            return held
        if not held:
            self._make_room(digest, size)
        part = self._part(digest)
        try:
            self._make_dirs(part.parent)
            _write_all(part, offset, data)
            held = max(held, offset + len(data))
            if held == size:
                self._check_and_publish(part, digest)
        except OSError as error:
            raise _explained(error, part) from error
        return held

    def has(self, digest: str) -> bool:
        """Whether the whole blob is here."""
        return self._path(digest).is_file()

    def size(self, digest: str) -> int:
        """Bytes of a blob.

        Raises:
            BlobMissing: it is not here.
        """
        try:
            return self._path(digest).stat().st_size
        except OSError as error:
            raise _missing(digest) from error

    def read(self, digest: str, offset: int = 0, length: int = -1) -> bytes:
        """Bytes of a blob; `length` -1 = to its end.

        Raises:
            BlobMissing: it is not here.
        """
        try:
            with self._path(digest).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError as error:
            raise _missing(digest) from error
        except OSError as error:
            raise _explained(error, self._path(digest)) from error

    def read_piece(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """(size of the blob, a piece of it), or None: what `files.transfer.serve` asks."""
        if _DIGEST.match(digest) is None:
            return None
        try:
            return self.size(digest), self.read(digest, offset, length)
        except BlobMissing:
            return None

    def path(self, digest: str) -> Path:
        """The file of a blob, to be read only.

        Raises:
            BlobMissing: it is not here.
        """
        if not self.has(digest):
            raise _missing(digest)
        return self._path(digest)

    def verify(self, digest: str) -> None:
        """Read a blob and compare it with its name.

        Raises:
            ChecksumMismatch: it is damaged; it is not removed.
            BlobMissing: it is not here.
        """
        actual = _digest_of_file(self.path(digest))[0]
        if actual != digest:
            raise _mismatch(digest, actual)

    def remove(self, digest: str) -> int:
        """Remove a blob, whole or arriving; returns the bytes given back (0 = it was not here)."""
        freed = self.size(digest) if self.has(digest) else 0
        self._path(digest).unlink(missing_ok=True)
        self._part(digest).unlink(missing_ok=True)
        if self._total is not None:
            self._total -= freed
        return freed

    def digests(self) -> Iterator[str]:
        """The digests of all whole blobs."""
        if not self.directory.is_dir():
            return
        for shelf in sorted(self.directory.iterdir()):
            if len(shelf.name) == 2:
                for file in sorted(shelf.iterdir()):
                    yield shelf.name + file.name

    @property
    def total_bytes(self) -> int:
        """Bytes in whole blobs, as far as this process knows."""
        if self._total is None:
            self._total = sum(self.size(digest) for digest in self.digests())
        return self._total

    # ------------------------------------------------------------ files

    def _path(self, digest: str) -> Path:
        if _DIGEST.match(digest) is None:
            raise FileError(f"{digest[:80]!r} is no sha256 digest")
        return self.directory / digest[:2] / digest[2:]

    def _part(self, digest: str) -> Path:
        self._path(digest)
        return self.directory / "part" / digest

    def _new_part(self, digest: str) -> Path:
        """A name that no other process writes to at the same time."""
        part = self._part(digest)
        self._make_dirs(part.parent)
        return part.with_name(f"{digest}.{secrets.token_hex(4)}")

    def _make_dirs(self, directory: Path) -> None:
        for path in (self.directory, directory):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _make_room(self, digest: str, size: int) -> None:
        if self.total_bytes + size > self.quota_bytes:
            # Somebody else may have removed blobs.
            self._total = None
            if self.total_bytes + size > self.quota_bytes:
                raise FileError(
                    f"blob {digest[:12]} of {size} bytes does not fit: {self.directory} holds"
                    f" {self.total_bytes} of at most {self.quota_bytes} bytes",
                    path=str(self.directory),
                )

    def _check_and_publish(self, part: Path, digest: str) -> None:
        actual, size = _digest_of_file(part)
        if actual != digest:
            part.unlink(missing_ok=True)
            raise _mismatch(digest, actual)
        self._publish(part, digest, size)

    def _publish(self, part: Path, digest: str, size: int) -> None:
        """The bytes are those of the digest: give them their name, durably."""
        path = self._path(digest)
        self._make_dirs(path.parent)
        fd = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        part.rename(path)
        fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if self._total is not None:
            self._total += size


def _write_all(path: Path, offset: int, data: bytes | memoryview) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        done = 0
        while done < len(view):
            done += os.pwrite(fd, view[done:], offset + done)
    finally:
        os.close(fd)


def _digest_of_file(path: Path) -> tuple[str, int]:
    state = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            state.update(block)
            size += len(block)
    return state.hexdigest(), size


def _missing(digest: str) -> BlobMissing:
    return BlobMissing(f"no bytes are known under digest {digest[:12]}", digest=digest)


def _mismatch(digest: str, actual: str) -> ChecksumMismatch:
    return ChecksumMismatch(
        f"the bytes of blob {digest[:12]} are damaged (their digest is {actual[:12]})",
        expected=digest,
        actual=actual,
    )


def _explained(error: OSError, path: Path) -> FileError | DiskFull:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"the disk of {path.parent} is full: free space there", path=str(path))
    return FileError(f"{path}: {error.strerror}", path=str(path))
