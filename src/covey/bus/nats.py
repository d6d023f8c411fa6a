"""The bus over NATS: one identity, one inbox, a connection that is made anew for ever."""

import asyncio
import logging
import math
import random
import ssl
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from nats import errors

from covey.bus.conn import Conn
from covey.bus.forwarded import directory_of, newest_number
from covey.bus.port import Handler
from covey.errors import BusUnavailable, PayloadTooLarge, RequestTimeout
from covey.wire.subjects import sender_of

log = logging.getLogger(__name__)

#: Wait before the first and between later attempts to connect again; doubled each time, ± a third.
BACKOFF_MIN_S = 0.05
BACKOFF_MAX_S = 1.0
#: One attempt to connect again takes at most this long.
ATTEMPT_MAX_S = 2.0
#: For the server to confirm that we may listen: as long as for a first connection.
LISTEN_MAX_S = 5.0
#: While there is no connection, how often a new tunnel is looked for.
TUNNEL_LOOK_S = 0.05
#: `close` gives what is buffered this long.
CLOSE_MAX_S = 1.0
#: How often a task that connects is cancelled, until it has ended.
CANCEL_EVERY_S = 0.2


class NatsBus:
    """Implements `covey.bus.port.Bus`. Made by `connect`; one event loop."""

    def __init__(
        self, urls: list[str], user: str, password: str, name: str, *, is_ours: bool, ca: str
    ) -> None:
        self._urls = urls
        self._user = user
        self._password = password
        self._name = name
        self._is_ours = is_ours
        self._ca = ca
        self._conn: Conn | None = None
        self._lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._inbox = ""
        self._on_message: Handler = _drop_message
        self._on_gone: Callable[[str], None] = _drop_name
        self._on_link: Callable[[bool], None] = _drop_change
        self._told_up = True
        self._payload_max_bytes = 0
        self._cuts = 0
        self._refusals = 0
        #: Times that the connection was made again.
        self.reconnects = 0

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        user: str = "",
        password: str = "",
        name: str = "",
        timeout_s: float = 5.0,
        is_ours: bool = False,
        ca: str = "",
        may_wait: bool = False,
    ) -> "NatsBus":
        """Connect to `url`, or to the first that answers of several with commas between.

        Args:
            url: nats://[user:password@]host:port, or tls://…, or unix:///DIRECTORY: the newest
                tunnel in it (`covey.bus.forwarded`).
            user: of the credential, when it is not in the address.
            password: likewise.
            name: shown by the server's own tools.
            timeout_s: for the whole of it.
            is_ours: covey started the server on a loopback port: the password is sent only when the
                listener belongs to our own user (protocol.md rule 36).
            ca: PEM of the only authority that counts for TLS; "" = those of the system.
            may_wait: the bus need not be there yet: try until it is, for ever.

        Raises:
            BusUnavailable: nobody answers there, or refuses us; the message says which.
        """
        if not user:
            user, password = _credential_of(url.partition(",")[0])
        urls = [part.strip() for part in url.split(",") if part.strip()]
        bus = cls(urls, user, password, name, is_ours=is_ours, ca=ca)
        bus._take(await (bus._open_again(0.0) if may_wait else bus._open(timeout_s)))
        bus._keeper = asyncio.get_running_loop().create_task(bus._keep(), name="covey-bus")
        return bus

    # ------------------------------------------------------------ Bus

    @property
    def is_up(self) -> bool:
        """The connection is there and the server was heard within the last seconds."""
        return self._conn is not None and self._conn.is_proven

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have (of the last server, while the link is down)."""
        return self._payload_max_bytes

    @property
    def dropped(self) -> int:
        """Times that the server hung up while we were behind with reading: each lost messages.

        There is no queue of ours that could overflow: handlers run as bytes arrive, and slow ones
        make the server wait. It hangs up at 32 MiB or after 5 s, without a word, so how many were
        lost is unknown.
        """
        return self._cuts + (self._conn.cuts if self._conn else 0)

    @property
    def refused(self) -> int:
        """Publishes that the server's permissions refused (a bug, or a stolen credential)."""
        return self._refusals + (self._conn.refusals if self._conn else 0)

    async def listen(
        self,
        inbox: str,
        on_message: Handler,
        on_gone: Callable[[str], None],
        on_link: Callable[[bool], None],
    ) -> None:
        """Subscribe to `inbox`; from now on also after every reconnect. Once per bus.

        Raises:
            BusUnavailable: the link is down, or the server's permissions refuse this inbox.
        """
        assert not self._inbox, "one inbox per connection"
        self._on_message, self._on_gone, self._on_link = on_message, on_gone, on_link
        conn = self._conn
        if conn is None:
            raise BusUnavailable("the bus was lost before anything was asked of it")
        conn.subscribe_to(inbox)
        try:
            await conn.ping(LISTEN_MAX_S)
            if conn.is_lost:  # since its answer; the next connection would not know of this inbox
                raise ConnectionResetError("the connection was lost")
            self._inbox = inbox
        except OSError as error:
            raise BusUnavailable(
                f"the bus does not let us listen on {inbox} ({conn.complaint or _reason(error)})"
            ) from error

    def publish(self, subject: str, reply_to: str, data: bytes) -> bool:
        """Hand over one message; False when it was not taken (see `covey.bus.port.Bus`)."""
        if len(data) > self._payload_max_bytes:
            raise PayloadTooLarge(
                f"a message of {len(data)} bytes: the bus takes {self._payload_max_bytes}",
                size_bytes=len(data),
                max_bytes=self._payload_max_bytes,
            )
        conn = self._conn
        return conn is not None and conn.send(subject, reply_to, data)

    async def flush(self, timeout_s: float) -> None:
        """Return when the server has everything published so far.

        Raises:
            RequestTimeout: it did not say so in time, or the link was or went down.
        """
        try:
            if self._conn is None:
                raise ConnectionResetError("the link is down")
            await self._conn.ping(timeout_s)
        except OSError as error:  # TimeoutError is one
            raise RequestTimeout(
                f"the bus did not confirm within {timeout_s:g} s ({error or 'no answer'})",
                what="flush",
                timeout_s=timeout_s,
            ) from error

    async def close(self) -> None:
        """Send what is buffered for at most a second, then disconnect. Never raises."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            # Asked again, should the handshake in which it may be have swallowed it (P2).
            while not keeper.done():
                keeper.cancel()
                await asyncio.wait([keeper], timeout=CANCEL_EVERY_S)
        conn, self._conn = self._conn, None
        if conn is None:
            return
        conn.unsubscribe()
        try:
            await conn.ping(CLOSE_MAX_S)
        except OSError:
            pass
        finally:
            conn.finish()

    # ------------------------------------------------------------ inside

    async def _keep(self) -> None:
        """Make the connection again whenever it is lost, until cancelled."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            conn = await self._open_again()
            self.reconnects += 1
            if self._inbox:
                # Written before anything that `on_link` may publish, and the server reads in order:
                # so answers find us, and no message comes before on_link(True).
                conn.subscribe_to(self._inbox)
            self._take(conn)

    async def _open_again(self, wait_s: float = BACKOFF_MIN_S) -> Conn:
        while True:
            await self._pause(wait_s * random.uniform(2 / 3, 4 / 3))
            wait_s = min(max(2 * wait_s, BACKOFF_MIN_S), BACKOFF_MAX_S)
            try:
                return await self._open(ATTEMPT_MAX_S)
            except BusUnavailable as error:
                log.debug("%s", error, extra={"event": "bus_unavailable"})

    async def _pause(self, wait_s: float) -> None:
        """Wait so long, but not when a new tunnel is there."""
        directory = directory_of(self._urls[0])
        if directory is None:
            await asyncio.sleep(wait_s)
            return
        seen = newest_number(directory)
        for _ in range(math.ceil(wait_s / TUNNEL_LOOK_S)):
            if newest_number(directory) != seen:
                return
            await asyncio.sleep(TUNNEL_LOOK_S)

    async def _open(self, timeout_s: float) -> Conn:
        """One connection to the first address that takes us.

        Raises:
            BusUnavailable: none did.
        """
        reasons: list[str] = []
        for url in self._urls:
            conn = Conn(self._arrived, self._absent, self._link_lost)
            try:
                await conn.open(
                    url,
                    user=self._user,
                    password=self._password,
                    name=self._name,
                    timeout_s=timeout_s,
                    is_ours=self._is_ours,
                    ca=self._ca,
                )
            except (OSError, ValueError, errors.Error) as error:
                reasons.append(f"{_without_password(url)} {_reason(error)}")
            else:
                return conn
        raise BusUnavailable("; ".join(reasons) + ". Check COVEY_NATS_URL, or run: covey up")

    def _take(self, conn: Conn) -> None:
        self._conn = conn
        self._payload_max_bytes = conn.payload_max_bytes
        if conn.is_lost:  # between its last answer and now
            self._link_lost()
        else:
            self._tell(is_up=True)

    def _link_lost(self) -> None:
        conn = self._conn
        if conn is None or not conn.is_lost:
            return  # one that was never taken: whoever opens it is told by an exception
        self._conn = None
        self._cuts += conn.cuts
        self._refusals += conn.refusals
        self._lost.set()
        self._tell(is_up=False)

    def _tell(self, *, is_up: bool) -> None:
        if not self._inbox or self._told_up == is_up:
            return
        self._told_up = is_up
        try:
            self._on_link(is_up)
        except Exception:  # top of a service loop (style.md §9)
            log.exception("a handler of the link raised", extra={"event": "handler_raised"})

    def _arrived(self, subject: bytes, data: bytes) -> None:
        self._on_message(sender_of(subject.decode()), data)

    def _absent(self, subject: bytes) -> None:
        self._on_gone(sender_of(subject.decode()))


def _reason(error: Exception) -> str:
    """Why a connection failed, as the end of a sentence that begins with the address."""
    text = str(error).removeprefix("nats: ").strip("' \r\n")
    if isinstance(error, TimeoutError):
        return "does not answer (timed out)"
    if isinstance(error, ssl.SSLCertVerificationError):
        why = f"certificate verify failed: {error.verify_message}"
        return f"is not to be trusted ({why}): no password was sent"
    if isinstance(error, ConnectionRefusedError):
        return "does not answer (connection refused)"
    if "authorization violation" in text.lower():
        return "refuses the user or the password"
    if isinstance(error, OSError):
        return f"does not answer ({error.strerror or text})"
    return f"is of no use: {text}"


def _without_password(url: str) -> str:
    scheme, has_scheme, rest = url.rpartition("://")
    return scheme + has_scheme + rest.rpartition("@")[2]


def _credential_of(url: str) -> tuple[str, str]:
    """User and password in an address, with %-escapes undone; empty when it holds no password."""
    try:
        parts = urlsplit(url if "://" in url else f"nats://{url}")
    except ValueError:
        return "", ""
    return (unquote(parts.username or ""), unquote(parts.password)) if parts.password else ("", "")


def _drop_message(sender: str, data: bytes) -> None:
    """Nothing is subscribed before `listen`."""


def _drop_name(peer: str) -> None:
    """As above."""


def _drop_change(is_up: bool) -> None:
    """As above."""
