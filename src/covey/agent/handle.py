"""One slot child as its agent sees it: its socket, its page, the chunk that it runs."""

import mmap
import os
import socket
import time
from asyncio import AbstractEventLoop, Event, TimerHandle
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from covey.agent.frames import (
    AREA_AT,
    AREA_BYTES,
    BUFFER,
    BUFFER_AT,
    CAPTURES,
    CAPTURES_AT,
    CHUNK_TASKS_MAX,
    ENDED,
    HEAD,
    MARK,
    PAGE_BYTES,
    POKE_FRAME,
    STRIKES_AT,
    Work,
    encode_work,
    read_ended,
    read_entries,
)
from covey.errors import DecodeError
from covey.model.job import Shape

#: Contexts that a child keeps loaded.
CONTEXTS_MAX = 32
_TAKE_BYTES = 256 * 1024
_NO_STRIKES = bytes(CHUNK_TASKS_MAX)


@dataclass(slots=True)
class Chunk:
    """Tasks of one shape for one slot, to be run one after another."""

    slot: int
    kind: str
    scheduler: str
    job: int
    ids: list[int]
    ns: list[int]
    #: `model.context` says what is in them.
    payloads: list[bytes]
    context: bytes
    #: sha256 of `context`, in hex.
    context_digest: str
    terms: Shape
    #: Seconds that each task may take; 0 = no limit.
    time_limit_s: float = 0.0
    #: Added to the environment of every task; covey's own variables of a task come on top.
    env: dict[str, str] = field(default_factory=dict[str, str])
    #: Where directories of tasks are made.
    workdir: str = ""
    #: See `frames.Work`.
    here: str = ""
    cache_dir: str = ""
    #: Keep what callables print in their reports (commands: always).
    capture: bool = False


@dataclass(slots=True)
class Run:
    """A chunk in a child."""

    chunk: Chunk
    serial: int
    #: Results that came so far.
    received: int = 0
    #: Up to when (monotonic) slot time was accounted for.
    accounted: float = 0.0
    #: Indexes of tasks that shall not run (on).
    struck: set[int] = field(default_factory=set[int])
    #: State of the task that is running when the child dies, and why; None = it died by itself.
    verdict: int | None = None
    timer: TimerHandle | None = None
    #: Seconds until the page is looked at again.
    look_s: float = 0.0


#: on_results(handle, states, reports, elapsed_s): the next tasks of the handle's run ended.
OnResults = Callable[["Handle", list[int], list[bytes], float], None]
#: on_gone(handle, is_garbled): its socket broke, or what came out of it is not ours.
OnGone = Callable[["Handle", bool], None]


class Handle:
    """A slot child, from fork to end. Never blocks: what a full socket does not take is kept."""

    def __init__(self, loop: AbstractEventLoop, on_results: OnResults, on_gone: OnGone) -> None:
        self._loop = loop
        self._on_results = on_results
        self._on_gone = on_gone
        #: 0 until the zygote has said.
        self.pid = 0
        #: Set when it was forked, or could not be.
        self.is_up = Event()
        #: What the child was first used for; None = nothing yet. See `Slots`.
        self.scope: tuple[object, ...] | None = None
        self.run: Run | None = None
        self.is_closed = False
        self._serial = 0
        self._digests: OrderedDict[str, None] = OrderedDict()
        self._inbox = bytearray()
        self._outbox: list[memoryview] = []
        self._has_strikes = False
        self._sock, self._theirs = socket.socketpair()
        self._sock.setblocking(False)
        self._page_fd = os.memfd_create("covey-page", os.MFD_CLOEXEC)
        os.ftruncate(self._page_fd, PAGE_BYTES)
        self._page = mmap.mmap(self._page_fd, PAGE_BYTES)
        loop.add_reader(self._sock, self._on_readable)

    def child_fds(self) -> list[int]:
        """The descriptors for the child; good until `sent_fds`."""
        return [self._theirs.fileno(), self._page_fd]

    def sent_fds(self) -> None:
        """The zygote has the child's descriptors: ours of them are closed."""
        self._theirs.close()
        if self._page_fd >= 0:
            os.close(self._page_fd)
            self._page_fd = -1

    def start(self, chunk: Chunk, env: dict[str, str], capture_dir: str) -> Run:
        """Sends a chunk. The child must be idle."""
        self._serial += 1
        terms = chunk.terms
        is_known = chunk.context_digest in self._digests
        self._digests[chunk.context_digest] = None
        self._digests.move_to_end(chunk.context_digest)
        drop: list[str] = []
        while len(self._digests) > CONTEXTS_MAX:
            drop.append(self._digests.popitem(last=False)[0])
        if self._has_strikes:
            self._page[STRIKES_AT : STRIKES_AT + CHUNK_TASKS_MAX] = _NO_STRIKES
            self._has_strikes = False
        work = Work(
            kind=chunk.kind,
            slot=chunk.slot,
            digest=chunk.context_digest,
            context=b"" if is_known else chunk.context,
            drop=drop,
            env=env,
            workdir=chunk.workdir,
            capture_dir=capture_dir,
            has_capture=chunk.capture,
            time_limit_s=chunk.time_limit_s,
            output_max_bytes=terms.output_max_bytes,
            nice=terms.nice,
            job=chunk.job,
            ids=chunk.ids,
            ns=chunk.ns,
            serial=self._serial,
            here=chunk.here,
            cache_dir=chunk.cache_dir,
            payloads=chunk.payloads,
        )
        self.run = Run(chunk, self._serial)
        self._send(encode_work(work))
        return self.run

    def marked(self) -> tuple[int, float]:
        """(index of the task that runs or ran last, its start); -1 = none of this chunk yet."""
        serial, number, start = MARK.unpack_from(self._page)
        if self.run is None or serial != self.run.serial:
            return -1, 0.0
        return number - 1, start

    def strike(self, indexes: list[int], state: int) -> None:
        """Has these tasks of the chunk end with `state`, if they have not ended yet."""
        for index in indexes:
            self._page[STRIKES_AT + index] = state
        self._has_strikes = True

    def poke(self) -> None:
        """Wakes a runner, so that it looks at the strikes."""
        self._send(POKE_FRAME)

    def look(self) -> None:
        """Takes results out of the page that the child could not yet send."""
        run = self.run
        if run is None:
            return
        buffer = self._page[BUFFER_AT : BUFFER_AT + BUFFER.size]
        serial, base, count, end, begin = BUFFER.unpack(buffer)
        if serial != run.serial or base + count <= run.received or end > AREA_BYTES:
            return
        entries = memoryview(self._page[AREA_AT : AREA_AT + end])
        # Written meanwhile: the copy may be half old, half new. And what stands before `base`
        # is still on its way through the socket: it comes first.
        if buffer != self._page[BUFFER_AT : BUFFER_AT + BUFFER.size] or base > run.received:
            return
        _, until = self.marked()
        with suppress(DecodeError):
            self._results(base, count, begin, until, entries)

    def capture_fd(self, stream: int) -> int:
        """The child's descriptor of what holds stdout (1) or stderr (2); 0 = none yet."""
        return CAPTURES.unpack_from(self._page, CAPTURES_AT)[stream - 1]

    def drain(self) -> None:
        """Takes all that the child has sent and left behind. For a child that is dead."""
        with suppress(DecodeError):
            self._read()
            self.look()

    def close(self) -> None:
        """Ends our side: an idle child ends as well."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.run is not None and self.run.timer is not None:
            self.run.timer.cancel()
        self.run = None
        self._loop.remove_reader(self._sock)
        self._loop.remove_writer(self._sock)
        self._sock.close()
        self.sent_fds()
        self.is_up.set()
        self._page.close()
        self._outbox.clear()

    # ------------------------------------------------------------ the socket

    def _send(self, data: bytes) -> None:
        if self.is_closed:
            return
        sent = 0
        if not self._outbox:
            try:
                sent = self._sock.send(data)
            except BlockingIOError:
                pass
            except OSError:
                # It is dead; its reader, or the zygote, tells.
                return
        if sent < len(data):
            if not self._outbox:
                self._loop.add_writer(self._sock, self._on_writable)
            self._outbox.append(memoryview(data)[sent:])

    def _on_writable(self) -> None:
        while self._outbox:
            part = self._outbox[0]
            try:
                sent = self._sock.send(part)
            except BlockingIOError:
                return
            except OSError:
                self._outbox.clear()
                break
            if sent < len(part):
                self._outbox[0] = part[sent:]
                return
            self._outbox.pop(0)
        self._loop.remove_writer(self._sock)

    def _on_readable(self) -> None:
        is_garbled = False
        try:
            is_open = self._read()
        except DecodeError:
            # User code wrote into our socket: the child cannot be understood any more.
            is_open, is_garbled = False, True
        if not is_open and not self.is_closed:
            self._loop.remove_reader(self._sock)
            self._on_gone(self, is_garbled)

    def _read(self) -> bool:
        """Takes what has come; False when the child's end is closed."""
        inbox = self._inbox
        while not self.is_closed:
            try:
                data = self._sock.recv(_TAKE_BYTES)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            inbox += data
            self._consume()
            if len(data) < _TAKE_BYTES:
                return True
        return True

    def _consume(self) -> None:
        inbox, at = self._inbox, 0
        while len(inbox) - at >= HEAD.size:
            size, kind = HEAD.unpack_from(inbox, at)
            if kind != ENDED:
                raise DecodeError(f"a child sent a frame of the unknown kind {kind}")
            begin = at + HEAD.size
            if len(inbox) - begin < size:
                break
            at = begin + size
            content = memoryview(bytes(memoryview(inbox)[begin:at]))
            serial, base, count, began, until, entries = read_ended(content)
            if self.run is not None and serial == self.run.serial:
                self._results(base, count, began, until, entries)
        if at and not self.is_closed:
            del inbox[:at]

    def _results(
        self, base: int, count: int, begin: float, until: float, entries: memoryview
    ) -> None:
        run = self.run
        assert run is not None
        if base > run.received:
            raise DecodeError(f"results {run.received} to {base} of a child are missing")
        states, reports = read_entries(entries, count, run.received - base)
        if not states:
            return
        if run.received + len(states) > len(run.chunk.ids):
            raise DecodeError("a child sent more results than it had tasks")
        elapsed_s = max(0.0, until - max(begin, run.accounted))
        run.accounted = max(until, run.accounted)
        self._on_results(self, states, reports, elapsed_s)


def now() -> float:
    """The clock of marks: seconds, the same in all processes of the machine."""
    return time.monotonic()
