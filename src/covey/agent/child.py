"""A slot child: takes chunks from its agent, runs their tasks in order, sends what came of them.

Forked by the zygote, one thread, plain blocking calls. What the user's code may meddle with is
kept out of its way: our descriptors are high and close on exec, stdin is /dev/null. When the agent
closes the socket, an idle child ends.
"""

import mmap
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from covey.agent import calls, elsewhere, runner
from covey.agent.frames import CHUNK, HEAD, PAGE_BYTES, Work, decode_work
from covey.agent.outbox import Outbox, flush_stdio, raise_fd
from covey.errors import DecodeError
from covey.model.context import CallContext, decode_context
from covey.model.errand import decode_errand, is_errand

_TAKE_BYTES = 256 * 1024


def main(sock_fd: int, page_fd: int) -> None:
    """Serves the agent at the other end of the socket until it closes.

    sock_fd: stream socket to the agent. page_fd: the memory of `agent.frames`.
    """
    page = mmap.mmap(page_fd, PAGE_BYTES)
    os.close(page_fd)
    sock = socket.socket(fileno=raise_fd(sock_fd))
    child = Child(sock, page)
    os.register_at_fork(after_in_child=child.became_copy)
    # Also where the agent was killed without a word: there is nobody to tell.
    with suppress(OSError):
        child.serve()
    flush_stdio()


class Child:
    """The loop of a slot child."""

    def __init__(self, sock: socket.socket, page: mmap.mmap) -> None:
        self._sock = sock
        self._outbox = Outbox(sock, page)
        self._is_niced = False
        #: Context by digest, ready to run its tasks. The agent says which to drop.
        self._ready: dict[str, Callable[[Work], None]] = {}
        self._runner: runner.Runner | None = None
        self._caller: calls.Caller | None = None

    def serve(self) -> None:
        """Runs chunk after chunk until the agent closes the socket."""
        while (work := self._next_work()) is not None:
            self._run(work)

    def became_copy(self) -> None:
        """User code forked this process off the child: the agent's socket is not its business."""
        self._outbox.is_copy = True
        self._sock.close()

    def _run(self, work: Work) -> None:
        if work.nice and not self._is_niced:
            # A process cannot go back: the agent keeps children of another niceness apart.
            self._is_niced = True
            with suppress(OSError):
                os.nice(work.nice)
        outbox = self._outbox
        outbox.open(work.serial)
        # If loading the context kills us, the first task is to blame: else it would come again for
        # ever.
        outbox.mark(1, time.monotonic())
        run = self._ready.get(work.digest)
        if run is None:
            run = self._ready[work.digest] = self._prepare(work)
        for digest in work.drop:
            self._ready.pop(digest, None)
        run(work)
        outbox.flush()

    def _prepare(self, work: Work) -> Callable[[Work], None]:
        """What runs the chunks of a context."""
        try:
            if is_errand(work.context):
                return self._runner_of_commands().prepare_errand(decode_errand(work.context))
            context = decode_context(work.context)
            context = elsewhere.as_here(context, work.here, work.workdir)
            if isinstance(context, CallContext):
                if self._caller is None:
                    self._caller = calls.Caller(self._outbox)
                return self._caller.prepare(context)
            return self._runner_of_commands().prepare(context)
        except DecodeError as error:
            return calls.refuser(self._outbox, error)

    def _runner_of_commands(self) -> runner.Runner:
        if self._runner is None:
            self._runner = runner.Runner(self._sock, self._outbox)
        return self._runner

    def _next_work(self) -> Work | None:
        while True:
            head = self._read(HEAD.size)
            if head is None:
                return None
            size, kind = HEAD.unpack(head)
            content = self._read(size)
            if content is None:
                return None
            if kind == CHUNK:
                return decode_work(memoryview(content))
            # A poke that came after its task had ended.

    def _read(self, size: int) -> bytearray | None:
        """Exactly `size` bytes; None at the end of the stream."""
        data = bytearray(size)
        view = memoryview(data)
        at = 0
        while at < size:
            got = self._sock.recv_into(view[at : at + _TAKE_BYTES])
            if not got:
                return None
            at += got
        return data
