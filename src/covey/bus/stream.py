"""The socket of one connection, with or without TLS.

nats-py makes the connection through it (reads INFO, upgrades to TLS, sends CONNECT, reads PONG,
line by line); then `hand_over` gives every further byte to a function of ours, straight from the
event loop: no read task that could die unseen (reliability.md P1), no stream buffers in between.
"""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast
from urllib.parse import ParseResult

from nats.aio.transport import Transport

#: `on_full(True)` is told when the socket took so little that this many bytes wait in it.
UNSENT_MAX_BYTES = 8 * 1024 * 1024
#: The longest line of the handshake (INFO of a large cluster).
HANDSHAKE_MAX_BYTES = 256 * 1024

#: Where a nats-server listens unless told otherwise.
DEFAULT_PORT = 4222


class Stream(asyncio.Protocol, Transport):
    """One TCP or TLS connection, or a unix socket. Once lost it stays lost.

    Attributes:
        path: of the unix socket to connect to, whatever nats-py names; None: TCP.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._line: asyncio.Future[None] | None = None
        self._on_data: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[], None] | None = None
        self.is_lost = False
        #: Over UNSENT_MAX_BYTES are waiting to be sent.
        self.is_full = False

    # ------------------------------------------------------------ after the handshake

    def hand_over(self, on_data: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """From now on bytes go to `on_data`; `on_lost` is called once, when the socket is gone."""
        self._on_data, self._on_lost = on_data, on_lost
        if self._unread:
            on_data(bytes(self._unread))
            self._unread.clear()
        if self.is_lost:
            on_lost()

    def ports(self) -> tuple[int, int]:
        """Our port and the server's."""
        assert self._transport is not None
        ours, theirs = (
            self._transport.get_extra_info("sockname"),
            self._transport.get_extra_info("peername"),
        )
        return ours[1], theirs[1]

    def abort(self) -> None:
        """Drop the connection and what is unsent; `on_lost` follows on the loop's next turn."""
        if self._transport is not None:
            self._transport.abort()

    # ------------------------------------------------------------ asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is open."""
        # A uvloop transport is no asyncio.Transport by type, but is one by what it does.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=UNSENT_MAX_BYTES)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        if self._on_data is not None:
            self._on_data(data)
            return
        self._unread += data
        if b"\n" in data or len(self._unread) > HANDSHAKE_MAX_BYTES:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the socket is gone, whoever closed it."""
        self.is_lost = True
        self._wake()
        if self._on_lost is not None:
            self._on_lost()

    def pause_writing(self) -> None:
        """asyncio: UNSENT_MAX_BYTES are waiting."""
        self.is_full = True

    def resume_writing(self) -> None:
        """asyncio: there is room again."""
        self.is_full = False

    # ------------------------------------------------------------ Transport of nats-py (handshake)

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Open the socket."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(connect_timeout):
            if self.path is not None:
                await loop.create_unix_connection(lambda: self, str(self.path))
                return
            await loop.create_connection(lambda: self, uri.hostname or "", uri.port or DEFAULT_PORT)

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Continue over TLS, the certificate checked against the host name."""
        assert self._transport is not None
        name = uri if isinstance(uri, str) else uri.hostname
        async with asyncio.timeout(connect_timeout):
            upgraded = await asyncio.get_running_loop().start_tls(
                self._transport, self, ssl_context, server_hostname=name
            )
        if upgraded is None:
            raise ConnectionResetError("the connection was lost during the TLS handshake")
        self.connection_made(upgraded)

    async def readline(self) -> bytes:
        """The next line of the handshake."""
        while (end := self._unread.find(b"\n")) < 0:
            if self.is_lost:
                raise ConnectionResetError("the other side closed the connection")
            if len(self._unread) > HANDSHAKE_MAX_BYTES:
                raise ConnectionResetError("the other side is no nats-server")
            self._line = asyncio.get_running_loop().create_future()
            await self._line
        line = bytes(self._unread[: end + 1])
        del self._unread[: end + 1]
        return line

    async def read(self, buffer_size: int) -> bytes:
        """Not used: after the handshake bytes go to `hand_over`'s function."""
        raise NotImplementedError

    def write(self, payload: bytes) -> None:
        """Send, or keep for sending."""
        if self._transport is not None and not self.is_lost:
            self._transport.write(payload)

    def writelines(self, payload: list[bytes]) -> None:
        """Send all, or keep for sending."""
        if self._transport is not None and not self.is_lost:
            self._transport.writelines(payload)

    async def drain(self) -> None:
        """Nothing: the lines of the handshake are few, and later `is_full` says when to stop."""

    async def wait_closed(self) -> None:
        """Nothing: `on_lost` tells."""

    def close(self) -> None:
        """Send what is buffered, then close."""
        if self._transport is not None:
            self._transport.close()

    def at_eof(self) -> bool:
        """Whether the connection is lost."""
        return self.is_lost

    def __bool__(self) -> bool:  # pyright: ignore[reportIncompatibleMethodOverride] theirs: None
        """Whether the socket was opened."""
        return self._transport is not None

    def _wake(self) -> None:
        if self._line is not None and not self._line.done():
            self._line.set_result(None)
