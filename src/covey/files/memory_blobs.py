"""Bytes under the name of their sha256, in memory: for a scheduler that keeps nothing on disk."""

import hashlib
import time
from dataclasses import dataclass

from covey.errors import BlobMissing, ChecksumMismatch, FileError

#: Bytes of all blobs of a store, if its owner sets nothing else.
QUOTA_BYTES = 1024 * 1024 * 1024
#: A blob that nobody refers to is kept for so long: whoever put it is about to.
UNUSED_MAX_S = 60.0


@dataclass(slots=True)
class _Blob:
    size: int
    data: bytes | bytearray
    is_whole: bool
    #: How many refer to it.
    users: int
    #: When the last piece came, or the last user went.
    since: float
    was_used: bool = False


class MemoryBlobs:
    """Content-addressed bytes. One event loop."""

    def __init__(self, *, quota_bytes: int = QUOTA_BYTES) -> None:
        self._quota_bytes = quota_bytes
        self._blobs: dict[str, _Blob] = {}
        self._total_bytes = 0

    def put(self, data: bytes) -> str:
        """Keep `data`, whatever the quota says: it is here already. Returns its digest."""
        digest = hashlib.sha256(data).hexdigest()
        known = self._blobs.get(digest)
        if known is None or not known.is_whole:
            self._drop(digest)
            self._blobs[digest] = _Blob(len(data), data, True, 0, time.monotonic())
            self._total_bytes += len(data)
        return digest

    def put_chunk(self, digest: str, offset: int, size: int, data: bytes) -> int:
        """A piece of a blob of `size` bytes that arrives in order; returns the bytes held now.

        Raises:
            ChecksumMismatch: the bytes are not those of the digest; they are thrown away.
            FileError: the piece does not fit in `size`, or the blob in the quota.
        """
        if offset < 0 or size < 0 or offset + len(data) > size:
            raise FileError(f"a piece of blob {digest[:12]} lies outside of its {size} bytes")
        blob = self._blobs.get(digest)
        if blob is None or blob.size != size:
            self._make_room(size)
            if self._total_bytes + size > self._quota_bytes:
                raise FileError(
                    f"a blob of {size} bytes does not fit: this scheduler keeps"
                    f" {self._total_bytes} of at most {self._quota_bytes} bytes of large arguments;"
                    " let calls end first, or pass files by name"
                )
            self._drop(digest)
            blob = self._blobs[digest] = _Blob(size, bytearray(), False, 0, 0.0)
            self._total_bytes += size
        blob.since = time.monotonic()
        if blob.is_whole or offset > len(blob.data):
            return len(blob.data)
        assert isinstance(blob.data, bytearray)
        blob.data[offset : offset + len(data)] = data
        if len(blob.data) == size:
            self._check(digest, blob)
        return len(blob.data)

    def read_piece(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """(size of the blob, a piece of it), or None: what `files.transfer.serve` asks."""
        blob = self._blobs.get(digest)
        if blob is None or not blob.is_whole:
            return None
        return blob.size, bytes(blob.data[offset : offset + length])

    def check(self, digest: str) -> None:
        """Whether it is here.

        Raises:
            BlobMissing: it is not.
        """
        blob = self._blobs.get(digest)
        if blob is None or not blob.is_whole:
            raise BlobMissing(f"no bytes are known under digest {digest[:12]}", digest=digest)

    def hold(self, digest: str) -> None:
        """Somebody refers to it from now on.

        Raises:
            BlobMissing: it is not here.
        """
        self.check(digest)
        blob = self._blobs[digest]
        blob.users += 1
        blob.was_used = True

    def release(self, digest: str) -> None:
        """One who referred to it does not any more."""
        blob = self._blobs.get(digest)
        if blob is not None and blob.users:
            blob.users -= 1
            blob.since = time.monotonic()

    def drop_unused(self, now: float) -> None:
        """Forget what nobody referred to for UNUSED_MAX_S."""
        for digest, blob in list(self._blobs.items()):
            if not blob.users and now - blob.since > UNUSED_MAX_S:
                self._drop(digest)

    def _make_room(self, size: int) -> None:
        """What was used and is no more goes first when room is needed."""
        for digest in [d for d, blob in self._blobs.items() if blob.was_used and not blob.users]:
            if self._total_bytes + size <= self._quota_bytes:
                return
            self._drop(digest)

    def _check(self, digest: str, blob: _Blob) -> None:
        actual = hashlib.sha256(blob.data).hexdigest()
        if actual != digest:
            self._drop(digest)
            raise ChecksumMismatch(
                f"the bytes of blob {digest[:12]} are damaged (their digest is {actual[:12]})",
                expected=digest,
                actual=actual,
            )
        blob.data = bytes(blob.data)
        blob.is_whole = True

    def _drop(self, digest: str) -> None:
        blob = self._blobs.pop(digest, None)
        if blob is not None:
            self._total_bytes -= blob.size
