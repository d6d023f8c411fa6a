"""Results of a slot child on their way to its agent."""

import fcntl
import mmap
import os
import resource
import socket
import sys
import time
from contextlib import suppress

from covey.agent.frames import (
    AREA_AT,
    AREA_BYTES,
    BUFFER,
    BUFFER_AT,
    ENTRY,
    MARK,
    STRIKES_AT,
    ended_head,
)

#: Results wait in the page for at most this long while the child is between tasks.
FLUSH_S = 0.040
#: Our descriptors are moved up to here (less where the limit is lower): programs that close "all"
#: descriptors seldom go so far.
_HIGH_FD = 900


class Outbox:
    """Results on their way to the agent: first in the page, then in batches over the socket."""

    def __init__(self, sock: socket.socket, page: mmap.mmap) -> None:
        self.sock = sock
        self.page = page
        #: This process was forked off by user code: it must not speak for the child.
        self.is_copy = False
        #: What user code printed is written out before its results are sent.
        self.has_prints = False
        self._serial = 0
        self._base = 0
        self._count = 0
        self._end = 0
        self._begin = 0.0

    @property
    def is_empty(self) -> bool:
        """Whether every result was sent."""
        return not self._count

    def open(self, serial: int) -> None:
        """Begins the results of a chunk."""
        self._serial = serial
        self._base = self._count = self._end = 0
        self._begin = time.monotonic()
        BUFFER.pack_into(self.page, BUFFER_AT, serial, 0, 0, 0, self._begin)

    def mark(self, number: int, now: float) -> int:
        """Notes that task `number` (from 1) starts now; returns its strike (0 = run it)."""
        MARK.pack_into(self.page, 0, self._serial, number, now)
        return self.page[STRIKES_AT + number - 1]

    def add(self, state: int, report: bytes) -> None:
        """One more result."""
        if self.is_copy:
            os._exit(0)
        size = len(report)
        end = self._end + ENTRY.size + size
        if end > AREA_BYTES:
            self.flush()
            if ENTRY.size + size > AREA_BYTES:
                self._send([ENTRY.pack(state, size), report], 1, ENTRY.size + size)
                return
            end = ENTRY.size + size
        at = AREA_AT + self._end
        page = self.page
        ENTRY.pack_into(page, at, state, size)
        page[at + ENTRY.size : AREA_AT + end] = report
        self._end = end
        self._count += 1
        # Last: the agent may look at any moment, also after our death.
        BUFFER.pack_into(page, BUFFER_AT, self._serial, self._base, self._count, end, self._begin)
        if time.monotonic() - self._begin > FLUSH_S:
            self.flush()

    def flush(self) -> None:
        """Sends what waits in the page."""
        if self._count:
            self._send([self.page[AREA_AT : AREA_AT + self._end]], self._count, self._end)

    def _send(self, parts: list[bytes], count: int, size: int) -> None:
        if self.has_prints:
            flush_stdio()
        until = time.monotonic()
        head = ended_head(self._serial, self._base, count, self._begin, until, size)
        for part in [head + parts[0], *parts[1:]]:
            self.sock.sendall(part)
        self._base += count
        self._begin = until
        self._count = self._end = 0
        BUFFER.pack_into(self.page, BUFFER_AT, self._serial, self._base, 0, 0, until)


def raise_fd(fd: int) -> int:
    """Moves a descriptor up, out of the way of user code; it closes on exec."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    start = max(3, min(_HIGH_FD, limit - 64))
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, start)
    os.close(fd)
    return high


def flush_stdio() -> None:
    """Writes out what user code has printed."""
    for stream in (sys.stdout, sys.stderr):
        # User code may have closed or replaced them by anything.
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
