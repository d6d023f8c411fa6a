"""A bad network between two ports: delay, stalls, resets, a cut on one side only.

    with proxy_to(lab["lab1"].port) as link:
        lab["lab1"].reach_by(link.port)
        link.delay_s = 0.2
        link.stall()          # nothing passes any more, nobody is told
        link.go_on()
        link.reset()          # RST on both sides

Packet loss looks like this to TCP: a stall, then all that was held. Threads, so that it runs beside
whatever loop a test has.
"""

import random
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

#: What one side has sent and the other not yet got: then the sender is held up, as by a full pipe.
HELD_MAX_BYTES = 1 << 20
#: Bytes that pass at a time.
CHUNK_BYTES = 64 * 1024
#: Connections that wait to be taken.
BACKLOG = 128
#: How often a link that is stalled, or holds something back, is looked at.
_LOOK_S = 0.005
#: A thread of the proxy that has not ended by then hangs.
_JOIN_MAX_S = 10.0


@dataclass(eq=False)
class _Lane:
    """One direction of one connection."""

    source: socket.socket
    sink: socket.socket
    #: (when it may pass, bytes).
    held: deque[tuple[float, bytes]] = field(default_factory=deque[tuple[float, bytes]])
    size_bytes: int = 0
    is_ended: bool = False

    def take(self, now: float, delay_s: float) -> None:
        """Read what is there; b"" is the end of this direction."""
        data = self.source.recv(CHUNK_BYTES)
        self.held.append((now + delay_s, data))
        self.size_bytes += len(data)
        self.is_ended = not data

    def give(self, now: float) -> bool:
        """Pass on what is due; False when the end has passed."""
        while self.held and self.held[0][0] <= now:
            at, data = self.held.popleft()
            if not data:
                with suppress(OSError):
                    self.sink.shutdown(socket.SHUT_WR)
                return False
            try:
                sent = self.sink.send(data)
            except BlockingIOError:
                sent = 0
            self.size_bytes -= sent
            if sent < len(data):
                # Its reader is slow: the other direction must not wait for that.
                self.held.appendleft((at, data[sent:]))
                break
        return True


class Link:
    """The proxy. Its faults hold for connections that are there and for new ones."""

    def __init__(self, target: tuple[str, int], seed: int = 0) -> None:
        """Use `proxy_to`."""
        self.target = target
        #: Added to each direction, and at most so much more by chance (order is kept).
        self.delay_s = 0.0
        self.jitter_s = 0.0
        #: Connections that were taken so far.
        self.count = 0
        self._random = random.Random(seed)
        self._passes = {"to": threading.Event(), "from": threading.Event()}
        self._is_closed = False
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._server = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.port: int = self._server.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, name="proxy", daemon=True)]
        self.go_on()
        self._threads[0].start()

    # ------------------------------------------------------------ faults

    def stall(self, *ways: str) -> None:
        """Nothing passes: `to` the target, `from` it, or (without words) both ways."""
        for way in ways or self._passes:
            self._passes[way].clear()

    def go_on(self) -> None:
        """All that was held passes."""
        for event in self._passes.values():
            event.set()

    def reset(self) -> None:
        """End every connection with a RST; new ones are taken."""
        for pair in self._take_pairs():
            for end in pair:
                # Zero seconds of lingering: close sends a reset.
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _close(end)

    def close(self) -> None:
        """End it with all connections."""
        self._is_closed = True
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for pair in self._take_pairs():
            for end in pair:
                _close(end)
        for thread in self._threads:
            thread.join(_JOIN_MAX_S)

    # ------------------------------------------------------------ inside

    def _take_pairs(self) -> list[tuple[socket.socket, socket.socket]]:
        with self._lock:
            pairs, self._pairs = self._pairs, []
        return pairs

    def _accept(self) -> None:
        while not self._is_closed:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.count += 1
            try:
                far = socket.create_connection(self.target, _JOIN_MAX_S)
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            thread = threading.Thread(
                target=self._carry, args=(near, far), name="proxy", daemon=True
            )
            self._threads.append(thread)
            thread.start()

    def _carry(self, near: socket.socket, far: socket.socket) -> None:
        near.setblocking(False)
        far.setblocking(False)
        lanes = {"to": _Lane(near, far), "from": _Lane(far, near)}
        try:
            while lanes and not self._is_closed:
                self._step(lanes)
        except (OSError, ValueError):
            # One end is gone, or was reset: so is the other.
            pass
        finally:
            _close(near)
            _close(far)

    def _step(self, lanes: dict[str, _Lane]) -> None:
        open_ = {lane.source: lane for lane in lanes.values() if _has_room(lane)}
        ready, _, _ = select.select(list(open_), [], [], _LOOK_S)
        now = time.monotonic()
        for source in ready:
            delay_s = self.delay_s + self._random.uniform(0, self.jitter_s)
            open_[source].take(now, delay_s)
        for way, lane in list(lanes.items()):
            if self._passes[way].is_set() and not lane.give(now):
                del lanes[way]


def _has_room(lane: _Lane) -> bool:
    return not lane.is_ended and lane.size_bytes < HELD_MAX_BYTES


def _close(end: socket.socket) -> None:
    # Closing alone leaves a thread that waits for it waiting.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RD)
    end.close()


@contextmanager
def proxy_to(port: int, host: str = "127.0.0.1") -> Generator[Link]:
    """A link to a port; its own is `link.port`."""
    link = Link((host, port))
    try:
        yield link
    finally:
        link.close()
