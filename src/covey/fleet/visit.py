"""One session on a machine in which it is looked at and then gets its agent.

    ssh ── sh ── python: PROBE ──answer──► ──archive──► RECEIVE ──order──► start verb ─ agent

What `probe` and `bootstrap.start` do in two sessions with two Pythons is one of each here, and the
machine already imports its agent while the head is still being started.
"""

import os
import selectors
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress

from covey.agent.machine import Answer, MachineOrder, marked_json, order_line
from covey.fleet.archive import Archive
from covey.fleet.bootstrap import PACKAGES_MAX_S, SEND_MAX_S, START_MAX_S
from covey.fleet.connection import Connection
from covey.fleet.probe import PROBE_MAX_S, Probe, probing_line, read_probe
from covey.fleet.probing import PROBE, RECEIVE, further
from covey.fleet.ssh_command import Done
from covey.fleet.step import answer_of, failed

#: A command that has said its last word ends by itself; one that does not is ended.
END_MAX_S = 5.0
#: What a machine may say before it answers: start-up files print, some of them for ever.
SAID_MAX_BYTES = 1024 * 1024
_PIECE_BYTES = 256 * 1024


class Visit:
    """A machine that was probed and waits for what is to be started. One thread; close it."""

    def __init__(self, connection: Connection, cluster: str) -> None:
        """Look at it.

        Raises:
            BootstrapFailed, ConnectFailed: as `fleet.probe.probe`; or it says far too much.
        """
        self._connection = connection
        self._cluster = cluster
        line = probing_line(connection.host, cluster, is_for_agent=True)
        self._talk = _Talk(connection, line)
        try:
            self._talk.tell(PROBE.encode())
            done = self._talk.hear(PROBE_MAX_S, "python")
            #: What it is like.
            self.found: Probe = read_probe(connection.host, done)
        except BaseException:
            self.close()
            raise

    def send(self, archive: Archive, agent: str) -> None:
        """Put the archive there unless it has it, and have it make ready for the agent.

        Raises:
            ConnectFailed: the machine takes nothing more. What it says of the archive is said by
                `start`.
        """
        data = b"" if archive.name in self.found.archives else archive.read()
        words = [self.found.cache, archive.name, archive.digest, str(len(data))]
        argv = [*words, "start", self._cluster, agent]
        self._talk.tell(further(RECEIVE, argv) + data)
        self._talk.write(SEND_MAX_S)

    def start(self, order: MachineOrder) -> Answer:
        """Start the agent unless it runs; as `bootstrap.start`, once, after `send`.

        Raises:
            BootstrapFailed: the archive did not arrive, or the agent did not start; why.
            ConnectFailed: the connection is gone, or nothing comes.
        """
        self._talk.tell(order_line(order))
        limit_s = PACKAGES_MAX_S if order.packages else START_MAX_S
        done = self._talk.hear(limit_s, "state", "problem")
        return answer_of(self._connection.host, "start", done)

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """What waits there for more ends."""
        self._talk.close()


class _Talk:
    """A command that is told and heard by turns."""

    def __init__(self, connection: Connection, line: str) -> None:
        self._connection = connection
        self._process = connection.pipe(line, err=subprocess.PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in = self._process.stdin.fileno()
        os.set_blocking(self._in, False)
        out, err = self._process.stdout.fileno(), self._process.stderr.fileno()
        #: What came from where; a descriptor that is closed there is not in it any more.
        self._open = {out, err}
        self._said = {out: b"", err: b""}
        self._out, self._err = out, err
        self._unsent = memoryview(b"")

    def tell(self, data: bytes) -> None:
        """Have it written while we listen."""
        self._unsent = memoryview(bytes(self._unsent) + data)

    def write(self, timeout_s: float) -> None:
        """Return when all was written, or the other side has ended."""
        self._go_on(timeout_s, lambda: not self._unsent)

    def hear(self, timeout_s: float, *keys: str) -> Done:
        """The next answer that has one of these keys, or how it ended without one."""

        def is_answered() -> bool:
            said = self._said[self._out]
            plain = marked_json(said[: said.rfind(b"\n") + 1])
            return plain is not None and any(key in plain for key in keys)

        self._go_on(timeout_s, is_answered)
        code = 0 if is_answered() else self._end(timeout_s)
        done = Done(code, self._said[self._out], self._said[self._err])
        self._said[self._out] = b""
        self._connection.check(done)
        return done

    def close(self) -> None:
        """It ends, as nothing more is told."""
        self._end(END_MAX_S)

    # ------------------------------------------------------------ inside

    def _go_on(self, timeout_s: float, is_enough: Callable[[], bool]) -> None:
        until = time.monotonic() + timeout_s
        with selectors.DefaultSelector() as selector:
            for fd in self._open:
                selector.register(fd, selectors.EVENT_READ)
            if self._unsent:
                selector.register(self._in, selectors.EVENT_WRITE)
            while self._open and not is_enough():
                left_s = until - time.monotonic()
                if left_s < 0:
                    self._process.kill()
                    raise self._connection.silence(timeout_s)
                for key, _ in selector.select(left_s):
                    if not (self._push() if key.fd == self._in else self._read(key.fd)):
                        selector.unregister(key.fd)

    def _read(self, fd: int) -> bool:
        """Whether more may come."""
        piece = os.read(fd, _PIECE_BYTES)
        self._said[fd] += piece
        if len(self._said[fd]) > SAID_MAX_BYTES:
            self._process.kill()
            host = self._connection.host
            raise failed(
                host,
                "probe",
                f"no sensible answer in {SAID_MAX_BYTES // 1024:,} KiB that it said",
                f"see what its start-up files print: ssh {host.name} true",
            )
        if not piece:
            self._open.discard(fd)
        return bool(piece)

    def _push(self) -> bool:
        """Whether there is more to be written."""
        try:
            self._unsent = self._unsent[os.write(self._in, self._unsent[:_PIECE_BYTES]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            # It has ended; why is in what it said.
            self._unsent = memoryview(b"")
        return bool(self._unsent)

    def _end(self, timeout_s: float) -> int:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with suppress(OSError):
                stream.close()
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
