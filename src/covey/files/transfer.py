"""Blobs over the bus: fetched by digest in chunks with a window, checked before use.

The fetching side asks (`Fetch`), repeats what is not answered, and believes nothing until the
sha256 is right. The serving side keeps no state. Both messages are unsequenced: a copy is harmless.
"""

import asyncio
import hashlib
from collections.abc import Callable

from covey.errors import BlobMissing, ChecksumMismatch
from covey.settings import RESULT_MAX_BYTES
from covey.wire.messages import Chunk, Fetch

#: Bytes asked for at once; well under MESSAGE_MAX_BYTES.
CHUNK_BYTES = 256 * 1024
#: Requests without an answer, per blob.
WINDOW = 8
#: A request without an answer is repeated after this long.
RETRY_AFTER_S = 1.0
#: Repetitions in a row without any progress, after which the blob counts as missing.
RETRIES_MAX = 30

#: read(digest, offset, length) -> (size of the blob, bytes), or None when it is not there.
Reader = Callable[[str, int, int], tuple[int, bytes] | None]


def digest_of(data: bytes) -> str:
    """The sha256 of `data` in hex: the name of a blob."""
    return hashlib.sha256(data).hexdigest()


def serve(request: Fetch, read: Reader) -> Chunk:
    """The answer to a `Fetch`."""
    found = read(request.digest, request.offset, min(request.length, CHUNK_BYTES))
    if found is None:
        return Chunk(request.digest, request.offset, -1)
    size, data = found
    return Chunk(request.digest, request.offset, size, data)


class _Download:
    __slots__ = ("asked", "buffer", "future", "missing", "next", "retries")

    def __init__(self, future: asyncio.Future[bytes]) -> None:
        self.future = future
        self.buffer: bytearray | None = None
        self.next = 0
        #: offset -> when it was asked for.
        self.asked: dict[int, float] = {}
        self.missing = 0
        self.retries = 0


class Fetcher:
    """Fetches blobs from one peer. Belongs to one event loop.

    `send` transmits an unsequenced message to the peer and may lose it.
    """

    def __init__(self, send: Callable[[Fetch], None]) -> None:
        self._send = send
        self._downloads: dict[str, _Download] = {}
        self._timer: asyncio.TimerHandle | None = None

    def get(self, digest: str) -> asyncio.Future[bytes]:
        """The bytes of a blob; callers of the same digest share one download.

        The future raises BlobMissing when the peer does not have it or does not answer,
        ChecksumMismatch when the bytes are not those of the digest.
        """
        download = self._downloads.get(digest)
        if download is None:
            loop = asyncio.get_running_loop()
            download = self._downloads[digest] = _Download(loop.create_future())
            self._ask(digest, download, 0)
            self._arm()
        return download.future

    def arrived(self, chunk: Chunk) -> None:
        """A chunk came."""
        download = self._downloads.get(chunk.digest)
        if download is None or chunk.offset not in download.asked:
            return
        if chunk.size < 0 or chunk.size > RESULT_MAX_BYTES:
            self._end(chunk.digest, BlobMissing(f"no blob {chunk.digest[:12]} there"))
            return
        if download.buffer is None:
            download.buffer = bytearray(chunk.size)
            download.missing = chunk.size
        if len(download.buffer) != chunk.size or chunk.offset + len(chunk.body) > chunk.size:
            self._end(chunk.digest, ChecksumMismatch(f"blob {chunk.digest[:12]} changed its size"))
            return
        del download.asked[chunk.offset]
        download.retries = 0
        download.buffer[chunk.offset : chunk.offset + len(chunk.body)] = chunk.body
        download.missing -= len(chunk.body)
        if download.missing <= 0:
            self._check(chunk.digest, download.buffer)
        else:
            self._fill(chunk.digest, download)

    def close(self) -> None:
        """Give up all downloads."""
        for digest in list(self._downloads):
            self._end(digest, BlobMissing(f"blob {digest[:12]}: the sender is gone"))

    def _fill(self, digest: str, download: _Download) -> None:
        assert download.buffer is not None
        while download.next < len(download.buffer) and len(download.asked) < WINDOW:
            self._ask(digest, download, download.next)

    def _ask(self, digest: str, download: _Download, offset: int) -> None:
        download.asked[offset] = asyncio.get_running_loop().time()
        download.next = max(download.next, offset + CHUNK_BYTES)
        self._send(Fetch(digest, offset, CHUNK_BYTES))

    def _check(self, digest: str, buffer: bytearray) -> None:
        data = bytes(buffer)
        if digest_of(data) == digest:
            self._end(digest, data)
        else:
            self._end(digest, ChecksumMismatch(f"blob {digest[:12]} arrived damaged"))

    def _end(self, digest: str, result: bytes | Exception) -> None:
        future = self._downloads.pop(digest).future
        if future.done():
            return
        if isinstance(result, bytes):
            future.set_result(result)
        else:
            future.set_exception(result)

    def _arm(self) -> None:
        if self._timer is None and self._downloads:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(RETRY_AFTER_S / 2, self._repeat)

    def _repeat(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for digest, download in list(self._downloads.items()):
            late = [at for at, asked in download.asked.items() if now - asked >= RETRY_AFTER_S]
            if not late:
                continue
            download.retries += 1
            if download.retries > RETRIES_MAX:
                self._end(digest, BlobMissing(f"blob {digest[:12]}: no answer"))
                continue
            for offset in late:
                self._ask(digest, download, offset)
        self._arm()
