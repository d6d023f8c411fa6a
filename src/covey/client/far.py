"""A head on another machine: through ssh to its door, and to its bus by a forwarded socket.

    here   client ── unix socket ── ssh -L ──►  nats-server  there
             └────── pipe ───────── ssh ─────►  covey --door (ledger rows, credential)

Credentials stay in memory. A lost connection is made again in the background; until then, rows are
as they were last seen, and requests repeat themselves.
"""

import atexit
import contextlib
import os
import random
import select
import subprocess
import threading
import time
from dataclasses import dataclass, replace
from typing import Any

from covey._version import VERSION
from covey.bus.forwarded import SCHEME
from covey.client import doorway
from covey.client.address import BusAddress
from covey.errors import ConnectFailed, CoveyError, NotUp, VersionMismatch
from covey.fleet.to_head import ToHead, command_line
from covey.settings import Settings
from covey.wire.messages import PROTOCOL

#: An answer of the door that takes longer means that the connection is lost.
ANSWER_MAX_S = 60.0
#: Connecting again: the first pause, doubled each time, and the longest.
AGAIN_MIN_S, AGAIN_MAX_S = 0.5, 15.0
#: What is said before the door opens is kept up to here, for the error.
SAID_MAX_BYTES = 8192


@dataclass(frozen=True, slots=True)
class FarRecord:
    """What is known there of the head's process."""

    term: int
    is_alive: bool


class FarHead:
    """The head of one cluster, on another machine. Any thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._door: subprocess.Popen[bytes] | None = None
        self._reach: ToHead | None = None
        self._port = 0
        self._keeper: threading.Thread | None = None
        self._is_closed = threading.Event()
        self._record: FarRecord | None = None
        self._schedulers: dict[str, FarRecord] = {}
        self._key = b""
        #: False: it was taken down, and all that can be done is to read its ledger.
        self._is_up = True

    # ------------------------------------------------------------ what a client needs to know

    def head(self) -> FarRecord | None:
        """The head there, as far as is known now."""
        try:
            plain = self.call("head")
            self._record = None if plain is None else FarRecord(plain["term"], plain["is_alive"])
        except ConnectFailed:
            if self._record is None:
                raise
        return self._record

    def schedulers(self) -> dict[str, FarRecord]:
        """The shared schedulers there, as far as is known now."""
        try:
            plain = self.call("schedulers")
            self._schedulers = {name: FarRecord(*one) for name, one in plain.items()}
        except ConnectFailed:
            if not self._schedulers:
                raise
        return self._schedulers

    def address(self) -> BusAddress:
        """Where its bus is, seen from here, with the credential of a client.

        Raises:
            NotUp: there is none.
            ConnectFailed: it cannot be reached.
        """
        address = BusAddress(**self.call("bus")["address"])
        if not address.is_ours:
            return address
        with self._lock:
            reach = self._opened()
            port = int(address.url.rpartition(":")[2])
            if port != self._port:
                self._port = port
                reach.forward_bus(reach.directory, port)
        return replace(address, url=f"{SCHEME}{reach.directory}")

    def space(self, cluster: str) -> str:
        """The name under which the cluster's subjects lie."""
        return str(self.call("bus")["space"])

    def submit_key(self) -> bytes:
        """The key that signs requests, as it was when the head was last reached.

        Raises:
            ConnectFailed: it was never reached.
        """
        try:
            self._key = bytes(self.call("bus")["submit_key"])
        except ConnectFailed:
            if not self._key:
                raise
        return self._key

    # ------------------------------------------------------------ the door

    def call(self, method: str, *args: Any) -> Any:
        """Ask the door.

        Raises:
            ConnectFailed: the head cannot be reached (any more, or yet).
            CoveyError: what the door answered.
        """
        with self._lock:
            self._opened()
            door = self._door
            if door is None:
                raise self._away()
            try:
                if not self._is_up and method not in doorway.READING:
                    # It may have come up meanwhile.
                    hello, _ = self._ask(door, ["hello", []])
                    self._is_up = bool(hello.get("is_up", True))
                    if not self._is_up:
                        raise self._not_up()
                value, error = self._ask(door, [method, list(args)])
            except (OSError, EOFError, ValueError):
                self._lose(door)
                raise self._away() from None
        if error is not None:
            raise doorway.error_from_plain(error)
        return value

    def close(self) -> None:
        """Leave; nothing of us stays there or here."""
        self._is_closed.set()
        with self._lock:
            if self._door is not None:
                _end(self._door)
                self._door = None
            if self._reach is not None:
                self._reach.close()

    # ------------------------------------------------------------ inside

    def _opened(self) -> ToHead:
        if self._reach is None:
            reach = ToHead(self._settings.head)
            try:
                reach.log_in()
                self._door = self._open_door(reach)
            except BaseException:
                reach.close()
                raise
            self._reach = reach
        return self._reach

    def _open_door(self, reach: ToHead) -> "subprocess.Popen[bytes]":
        line = command_line(self._settings.cluster, ["--door"], is_piped=True, is_reader=True)
        door = reach.connection.pipe(line)
        said = b""
        try:
            while not said.endswith(b"\n" + doorway.MARK):
                piece = _read(door, 1)
                if not piece or len(said) > SAID_MAX_BYTES:
                    raise EOFError
                said += piece
            hello, _ = self._ask(door, ["hello", []])
        except (OSError, EOFError, ValueError):
            code = _end(door)
            raise self._no_door(code, said) from None
        if hello["protocol"] != PROTOCOL:
            _end(door)
            raise VersionMismatch(
                f"the head on {reach.host.login} is covey {hello['version']}, this is {VERSION}:"
                f" bring it to this version with: covey up --head {self._settings.head}"
            )
        self._is_up = bool(hello.get("is_up", True))
        return door

    def _no_door(self, code: int, said: bytes) -> CoveyError:
        head, cluster = self._settings.head, self._settings.cluster
        lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
        told = "".join(c if c.isprintable() else "?" for c in (lines or [""])[-1])[:300]
        if f"no cluster {cluster} is up here" in told:
            return self._not_up()
        return ConnectFailed(
            f"{head}: covey does not answer there (exit {code}: {told or 'it said nothing'})",
            machine=head,
            kind="no-door",
        )

    def _not_up(self) -> NotUp:
        head, cluster = self._settings.head, self._settings.cluster
        return NotUp(f"cluster {cluster} is not up on {head}: covey up --head {head}")

    def _ask(self, door: "subprocess.Popen[bytes]", question: list[Any]) -> Any:
        assert door.stdin is not None
        door.stdin.write(doorway.frame(question))
        door.stdin.flush()
        return doorway.read_frame(lambda n: _read(door, n))

    def _away(self) -> ConnectFailed:
        return ConnectFailed(
            f"{self._settings.head}: the connection to the head is lost; it is made again",
            machine=self._settings.head,
            kind="closed",
        )

    def _lose(self, door: "subprocess.Popen[bytes]") -> None:
        _end(door)
        self._door = None
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._come_again, daemon=True)
            self._keeper.start()

    def _come_again(self) -> None:
        pause_s = AGAIN_MIN_S
        while not self._is_closed.wait(pause_s * random.uniform(0.5, 1.0)):
            pause_s = min(2 * pause_s, AGAIN_MAX_S)
            try:
                self._reopen()
            except CoveyError:
                continue
            return

    def _reopen(self) -> None:
        reach = self._reach
        assert reach is not None
        reach.log_in_again()
        door = self._open_door(reach)
        if self._port:
            reach.forward_bus(reach.directory, self._port)
        with self._lock:
            self._door = door
            if self._is_closed.is_set():
                _end(door)
                reach.close()


def _read(door: "subprocess.Popen[bytes]", count: int) -> bytes:
    assert door.stdout is not None
    fd, pieces = door.stdout.fileno(), list[bytes]()
    until = time.monotonic() + ANSWER_MAX_S
    while count:
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError
        piece = os.read(fd, min(count, 1 << 20))
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def _end(door: "subprocess.Popen[bytes]") -> int:
    for pipe in (door.stdin, door.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    try:
        return door.wait(1.0)
    except subprocess.TimeoutExpired:
        door.kill()
        return door.wait()


_heads: dict[tuple[int, str, str], FarHead] = {}
_guard = threading.Lock()


def far_head(settings: Settings) -> FarHead:
    """The far head of these settings: one connection for all of a process."""
    key = (os.getpid(), settings.head, settings.cluster)
    with _guard:
        head = _heads.get(key)
        if head is None:
            head = _heads[key] = FarHead(settings)
    return head


def _leave() -> None:
    for key, head in list(_heads.items()):
        if key[0] == os.getpid():
            head.close()


atexit.register(_leave)
