"""One connection to a nats-server, from handshake to loss. It is never repaired, but replaced.

nats-py 2.16 finds the server, upgrades to TLS and authenticates. What it would do afterwards is
left out, because each of these loses or wedges something (reliability.md §1.10;
tests/integration/bus/test_defects.py):

    P1   its read loop ends for good on any exception, while is_connected stays True
    P2   its flush swallows the cancellation of whoever publishes
    P3   its reconnect buffer sends publishes that the caller was told had failed
    P5   most -ERR, and 60 failed attempts, close it for good
    P7   a refused publish is only told to a coroutine that nobody awaits
    P9   its close() raises what the socket raised, or CancelledError
    P10  its queue per subscription drops messages; its callback tasks reorder subjects

Here bytes are parsed as they arrive, handlers are called inline and in order, a publish is a list
append, and silence of the server is measured by our own PING.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from nats import errors
from nats.aio.client import Client

from covey.bus.forwarded import Forwarded, directory_of, newest
from covey.bus.listener import can_tell, uid_of_peer
from covey.bus.parser import Parser
from covey.bus.stream import UNSENT_MAX_BYTES, Stream
from covey.bus.tls import SERVER_NAME, pinned
from covey.errors import ProtocolError

log = logging.getLogger(__name__)

#: The server is asked for a PONG when nothing was heard of it for so long.
ECHO_AFTER_S = 2.0
#: Silence after which the connection is dropped.
SILENCE_MAX_S = 6.0
#: How often both are looked at.
LOOK_EVERY_S = 0.5
#: A look that comes this late means that we stood still (suspend, SIGSTOP, a handler): then silence
#: proves nothing.
STALL_S = 1.0
#: A look that comes this late means that we are behind with reading, which the server may punish.
BEHIND_S = 0.2

#: (sender's subject, data); (subject of a 503)
OnMessage = Callable[[bytes, bytes], None]
OnNobody = Callable[[bytes], None]


class Conn(Client):
    """A connected, authenticated link. All methods but `open` and `ping` return at once.

    Attributes:
        heard_at: when (loop time) the server was last heard.
        refusals: publishes that the server's permissions refused.
        complaint: the last `-ERR` of the server.
        cuts: 1 if the server hung up while we were behind with reading (it does so without a word).
    """

    def __init__(
        self, on_message: OnMessage, on_nobody: OnNobody, on_lost: Callable[[], None]
    ) -> None:
        super().__init__()
        self._stream = Stream()
        self._on_message = on_message
        self._on_nobody = on_nobody
        self._on_lost = on_lost
        self._parser = Parser(self)
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._is_write_due = False
        self._echoes: deque[asyncio.Future[None] | None] = deque()
        self._loop = asyncio.get_running_loop()
        self._looked_at = self.heard_at = 0.0
        self._behind_at = float("-inf")
        self._looker: asyncio.TimerHandle | None = None
        self._is_ours = False
        self._needs_tls = False
        self.is_lost = False
        self.refusals = 0
        self.cuts = 0
        self.complaint = ""

    # ------------------------------------------------------------ making it

    async def open(
        self,
        url: str,
        *,
        user: str,
        password: str,
        name: str,
        timeout_s: float,
        is_ours: bool,
        ca: str = "",
    ) -> None:
        """Connect and authenticate, once.

        `is_ours`: send the password to a process of our own user only. `ca`: PEM of the only
        authority that counts, where TLS is spoken.

        Raises:
            OSError, TimeoutError, ValueError, nats.errors.Error: it did not work. The socket is
                closed.
        """
        options: dict[str, Any] = {"user": user, "password": password} if user else {}
        if (directory := directory_of(url)) is not None:
            url = self._through(newest(directory))
        self._is_ours = is_ours and self._stream.path is None
        self._needs_tls = urlsplit(url).scheme == "tls"
        if self._needs_tls and ca:
            options |= {"tls": pinned(ca), "tls_hostname": SERVER_NAME}
        elif self._needs_tls and directory is not None:
            raise ValueError("the tunnel is a port and there is no authority: no password was sent")
        elif ca and directory is not None:
            # Only if the server insists on it: our account alone reaches the socket.
            options |= {"tls": pinned(ca), "tls_hostname": SERVER_NAME}
        is_open = False
        try:
            async with asyncio.timeout(timeout_s):
                await self.connect(
                    url,
                    name=name,
                    error_cb=_ignore,
                    allow_reconnect=False,
                    connect_timeout=max(1, round(timeout_s)),
                    **options,
                )
            is_open = True
        finally:
            if not is_open:
                self._stream.abort()
        self._looked_at = self.heard_at = self._loop.time()
        self._looker = self._loop.call_later(LOOK_EVERY_S, self._look)
        self._stream.hand_over(self._feed, self._hung_up)

    def _through(self, end: Forwarded) -> str:
        """Take the end of a tunnel; what nats-py is to be told."""
        if end.port:
            return f"tls://127.0.0.1:{end.port}"
        self._stream.path = end.path
        return "nats://localhost"

    # The steps of nats-py's connect() that are not wanted as they are. Its private names are
    # used here and nowhere else; the lower and upper bound of the version in pyproject.toml belong
    # to this list.

    async def _select_next_server(self) -> None:
        # Theirs sleeps, retries and swallows the reason.
        self._current_server = self._server_pool[0]
        self._transport = self._stream
        await self._stream.connect(self._current_server.uri, 0, self.options["connect_timeout"])

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if self._needs_tls:
            if not (info.get("tls_required") or info.get("tls_available")):
                # Theirs goes on in clear text, password included.
                raise errors.Error("the address says tls:// but the server does not speak TLS")
            # A server that leaves it to its clients is made to.
            info["tls_required"] = True
        if self._is_ours and can_tell():
            uid = uid_of_peer(*self._stream.ports())
            if uid != os.getuid():
                raise errors.Error(
                    f"the port is held by another user (uid {uid}): no password was sent"
                )

    async def _read_loop(self) -> None:
        return

    async def _flusher(self) -> None:
        return

    async def _ping_interval(self) -> None:
        return

    # ------------------------------------------------------------ using it

    @property
    def payload_max_bytes(self) -> int:
        """What the server takes as one message."""
        return self._max_payload

    @property
    def is_proven(self) -> bool:
        """The server was heard within the last seconds."""
        return not self.is_lost and self._loop.time() - self.heard_at < SILENCE_MAX_S

    def send(self, subject: str, reply_to: str, data: bytes) -> bool:
        """Queue a message for this turn of the loop; False when too much is unsent."""
        if self.is_lost or self._stream.is_full or self._out_bytes > UNSENT_MAX_BYTES:
            return False
        self._out.append(f"PUB {subject} {reply_to} {len(data)}\r\n".encode())
        self._out.append(data)
        self._out.append(b"\r\n")
        self._out_bytes += len(data)
        if not self._is_write_due:
            self._is_write_due = True
            self._loop.call_soon(self._write)
        return True

    def subscribe_to(self, inbox: str) -> None:
        """Ask for all messages on `inbox`. One per connection."""
        self._say(f"SUB {inbox} 1\r\n".encode())

    def unsubscribe(self) -> None:
        """Hear no more; after the next `ping` whoever speaks to us is told that we are gone."""
        self._say(b"UNSUB 1\r\n")

    async def ping(self, timeout_s: float) -> None:
        """Return when the server has read all that was sent before.

        Raises:
            TimeoutError: it has not, in time.
            ConnectionResetError: the connection was lost meanwhile.
        """
        if self.is_lost:
            raise ConnectionResetError("the connection is lost")
        echo: asyncio.Future[None] = self._loop.create_future()
        self._echoes.append(echo)
        self._say(b"PING\r\n")
        # A cancelled future stays in its place in the queue, and its late PONG is dropped (P1).
        async with asyncio.timeout(timeout_s):
            await echo

    def abort(self) -> None:
        """Drop the connection; what is unsent is forgotten (P3). `on_lost` is called at once."""
        self._stream.abort()
        self._gone()

    def finish(self) -> None:
        """Let the socket send what it has, then close; nothing is told any more."""
        self._on_lost = _nothing
        self._write()
        self._stream.close()

    # ------------------------------------------------------------ what the server said (Listener)

    def on_message(self, subject: bytes, data: bytes) -> None:
        """Hand it on. What the handler raises is a bug there, and no reason to stop reading."""
        if self.is_lost:
            return
        try:
            self._on_message(subject, data)
        except Exception:  # top of a service loop (style.md §9)
            log.exception("a handler of bus messages raised", extra={"event": "handler_raised"})

    def on_nobody(self, subject: bytes) -> None:
        """Hand on who is not there."""
        if self.is_lost:
            return
        try:
            self._on_nobody(subject)
        except Exception:  # as above
            log.exception("a handler of absences raised", extra={"event": "handler_raised"})

    def on_ping(self) -> None:
        """Answer."""
        self._say(b"PONG\r\n")

    def on_pong(self) -> None:
        """Tell whoever waits for it, if somebody still does."""
        if self._echoes and (echo := self._echoes.popleft()) is not None and not echo.done():
            echo.set_result(None)

    def on_error(self, text: str) -> None:
        """Note it; where the server hangs up after it, `on_lost` follows (P5)."""
        self.complaint = text
        lowered = text.lower()
        if "permissions violation for subscription" in lowered:
            # Deaf on the only inbox there is: no link at all.
            self.abort()
        elif "permissions violation" in lowered:
            self.refusals += 1
        log.warning("the bus says: %s", text, extra={"event": "bus_error"})

    # ------------------------------------------------------------ inside

    def _feed(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        if self.is_lost:
            return
        try:
            self._parser.feed(data)
        except ProtocolError as error:
            log.warning("dropping the connection: %s", error, extra={"event": "bus_error"})
            self.abort()

    def _say(self, line: bytes) -> None:
        # Behind what was published, so that a PONG proves it.
        self._write()
        self._stream.write(line)

    def _write(self) -> None:
        self._is_write_due = False
        if self._out:
            out, self._out, self._out_bytes = self._out, [], 0
            self._stream.writelines(out)

    def _look(self) -> None:
        now = self._loop.time()
        late_s = now - self._looked_at - LOOK_EVERY_S
        if late_s > STALL_S:
            self.heard_at = max(self.heard_at, now - ECHO_AFTER_S)
        if late_s > BEHIND_S:
            self._behind_at = now
        self._looked_at = now
        silent_s = now - self.heard_at
        if silent_s >= SILENCE_MAX_S:
            log.warning("the bus was silent for %.1f s", silent_s, extra={"event": "bus_silent"})
            self.abort()
            return
        if silent_s >= ECHO_AFTER_S:
            self._echoes.append(None)
            self._say(b"PING\r\n")
        self._looker = self._loop.call_later(LOOK_EVERY_S, self._look)

    def _hung_up(self) -> None:
        now = self._loop.time()
        is_behind = now - self._looked_at - LOOK_EVERY_S > BEHIND_S
        if not self.is_lost and (is_behind or now - self._behind_at < SILENCE_MAX_S):
            self.cuts += 1
        self._gone()

    def _gone(self) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self._out.clear()
        if self._looker is not None:
            self._looker.cancel()
        for echo in self._echoes:
            if echo is not None and not echo.done():
                echo.set_exception(ConnectionResetError("the connection was lost"))
        self._echoes.clear()
        self._on_lost()


async def _ignore(_error: Exception) -> None:
    # open() raises the reason.
    return


def _nothing() -> None:
    return
