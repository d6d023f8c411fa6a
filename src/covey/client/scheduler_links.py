"""A client's connection to shared schedulers: one to the bus, a key for each of them."""

import asyncio
import math
import os
import secrets
import time
from collections.abc import Callable
from typing import Any, Protocol

from covey.bus.nats import NatsBus
from covey.bus.peer import Peer
from covey.client.asking import Asking
from covey.client.connecting import connect
from covey.client.reach import HeadFiles, head_files
from covey.client.schedulers import bus_name
from covey.errors import CoveyError, DecodeError, Forged, NotUp, RequestTimeout, Stale
from covey.files.transfer import Fetcher
from covey.settings import Settings
from covey.wire.messages import Advanced, Answer, Ask, Chunk, Frame, Message, ToHead, Watch
from covey.wire.signing import Context
from covey.wire.subjects import inbox_of_scheduler, to_scheduler

#: One that was not heard of for so long may have been started anew: its record is read again.
RECORD_AFTER_S = 0.3
#: Watches whose answer has not come.
WATCHES_MAX = 256


class Hears(Protocol):
    """Who is told what schedulers say. Called on the loop."""

    def heard(self, name: str) -> None:
        """It lives."""
        ...

    def gone(self, name: str) -> None:
        """It does not run, or another start of it does."""
        ...

    def link(self, *, is_up: bool) -> None:
        """Our own link to the bus went down, or came up again."""
        ...

    def watched(self, name: str, job: int, answer: Answer) -> None:
        """It answered a watch."""
        ...

    def advanced(self, name: str, message: Advanced) -> None:
        """Tasks of a job ended."""
        ...


class SchedulerLinks:
    """Speaks to schedulers by their names. One event loop. Use `connect`."""

    def __init__(
        self, files: HeadFiles, bus: NatsBus, space: str, me: str, key: bytes, hears: Hears
    ) -> None:
        self._files = files
        self._bus = bus
        self._space = space
        self._me = me
        self._key = key
        self._hears = hears
        self._asking = Asking()
        self._peers: dict[str, Peer] = {}
        self._fetchers: dict[str, Fetcher] = {}
        self._name_of: dict[str, str] = {}
        #: nonce -> job of the watches under way.
        self._watches: dict[int, int] = {}
        #: When a scheduler was heard of, or its record read, last.
        self._fresh_at: dict[str, float] = {}

    @classmethod
    async def connect(
        cls, settings: Settings, names: tuple[str, ...], hears: Hears
    ) -> "SchedulerLinks":
        """Connect to the bus of the cluster.

        Raises:
            NotUp: the cluster is not up.
            BusUnavailable: its bus does not answer.
        """
        files = head_files(settings)
        address, space = files.address(), files.space(settings.cluster)
        me = f"client-{os.getpid()}-{secrets.token_hex(6)}"
        try:
            key = files.submit_key()
        except OSError as error:
            raise NotUp from error
        bus = await connect(address, me)
        self = cls(files, bus, space, me, key, hears)
        for name in names:
            self._acquaint(name)
            # Whatever is said first is signed for this start of it.
            self._look_for_new_start(name)
        await bus.listen(
            inbox_of_scheduler(space, me),
            self._on_message,
            self._on_gone,
            lambda is_up: hears.link(is_up=is_up),
        )
        return self

    def probe(self, name: str) -> None:
        """Have it say that it lives."""
        self._look_for_new_start(name)
        self._send(name, Ask(self._asking.nonce(), "probe"))

    def watch(self, name: str, job: int, after_seq: int) -> None:
        """The same, of a job: we have its outcomes up to `after_seq`."""
        self._look_for_new_start(name)
        nonce = self._asking.nonce()
        self._watches[nonce] = job
        while len(self._watches) > WATCHES_MAX:
            del self._watches[next(iter(self._watches))]
        self._send(name, Watch(nonce, job, after_seq))

    def tell(self, name: str, make: Callable[[int], ToHead]) -> None:
        """Say something, once; nobody waits for the answer."""
        self._send(name, make(self._asking.nonce()))

    async def request(self, name: str, make: Callable[[int], ToHead]) -> dict[str, Any]:
        """Ask until it answers; whoever gives a scheduler up cancels this.

        Raises:
            CoveyError: what it answered, by its class.
        """
        return await self._asking.request(
            make, lambda message: self._send(name, message), math.inf, RequestTimeout
        )

    def fetch(self, name: str, digest: str) -> asyncio.Future[bytes]:
        """A large report: see `Fetcher.get`."""
        return self._fetchers[name].get(digest)

    async def close(self) -> None:
        """Disconnect."""
        for fetcher in self._fetchers.values():
            fetcher.close()
        await self._bus.close()

    # ------------------------------------------------------------ inside

    def _acquaint(self, name: str) -> None:
        other = bus_name(name)
        peer = Peer(
            self._bus,
            base_key=self._key,
            context=Context(self._space, other, self._me, 0),
            directions=("ask", "answer"),
            subject=to_scheduler(self._space, other, self._me),
            reply_to=to_scheduler(self._space, self._me, other),
        )
        self._peers[name] = peer
        self._name_of[other] = name
        self._fetchers[name] = Fetcher(lambda ask: self._send(name, ask))

    def _look_for_new_start(self, name: str) -> None:
        now = time.monotonic()
        if now - self._fresh_at.get(name, -math.inf) < RECORD_AFTER_S:
            return
        self._fresh_at[name] = now
        try:
            record = self._files.schedulers().get(name)
        except CoveyError:
            # Out of reach for now: it is as it was.
            return
        peer = self._peers[name]
        if record is not None and record.term != peer.term:
            had_one = peer.term > 0
            peer.rebind(record.term)
            if had_one:
                self._hears.gone(name)

    def _send(self, name: str, message: Message) -> None:
        self._peers[name].send(Frame(b"", 0, 0, message))

    def _on_gone(self, other: str) -> None:
        if name := self._name_of.get(other):
            self._hears.gone(name)

    def _on_message(self, sender: str, data: bytes) -> None:
        name = self._name_of.get(sender)
        if name is None:
            return
        try:
            frame = self._peers[name].open(data)
        except (Forged, Stale, DecodeError):
            return
        if frame is not None:
            self._fresh_at[name] = time.monotonic()
            self._hears.heard(name)
            self._receive(name, frame.message)

    def _receive(self, name: str, message: Message) -> None:
        if isinstance(message, Advanced):
            self._hears.advanced(name, message)
        elif isinstance(message, Chunk):
            self._fetchers[name].arrived(message)
        elif isinstance(message, Answer) and not self._asking.answered(message):
            job = self._watches.pop(message.nonce, None)
            if job is not None:
                self._hears.watched(name, job, message)
