"""Speaks to the head: each request is repeated with the same nonce until its answer comes."""

import asyncio
import os
import secrets
from collections.abc import Callable
from typing import Any

from covey.bus.nats import NatsBus
from covey.bus.peer import Peer
from covey.client.asking import Asking
from covey.client.cluster import HEAD
from covey.client.connecting import connect
from covey.client.reach import HeadFiles, head_files
from covey.errors import DecodeError, Forged, NotUp, RequestTimeout, Stale
from covey.settings import ANSWER_TIMEOUT_S, Settings
from covey.wire.messages import Advanced, Answer, Ask, Frame, Message, Output, ToHead
from covey.wire.signing import Context
from covey.wire.subjects import inbox_of_scheduler, to_scheduler


class HeadLink:
    """A client's connection to the head. One event loop."""

    def __init__(self, files: HeadFiles, bus: NatsBus, peer: Peer, name: str, key: bytes) -> None:
        """Use `connect`."""
        self._files = files
        self._key = key
        self._bus = bus
        self._peer = peer
        self.name = name
        self._asking = Asking()
        self.on_output: Callable[[Output], None] | None = None
        self.on_advanced: Callable[[Advanced], None] | None = None

    @classmethod
    async def connect(cls, settings: Settings) -> "HeadLink":
        """Connect to the head of the cluster.

        Raises:
            NotUp: there is no head.
            BusUnavailable: its bus does not answer.
        """
        files = head_files(settings)
        head = files.head()
        if head is None or not head.is_alive:
            raise NotUp(f"cluster {settings.cluster} is not up: start it with: covey up")
        address = files.address()
        space = files.space(settings.cluster)
        name = f"client-{os.getpid()}-{secrets.token_hex(4)}"
        bus = await connect(address, name)
        key = _submit_key(files)
        peer = Peer(
            bus,
            base_key=key,
            context=Context(space, HEAD, name, head.term),
            directions=("ask", "answer"),
            subject=to_scheduler(space, HEAD, name),
            reply_to=to_scheduler(space, name, HEAD),
        )
        self = cls(files, bus, peer, name, key)
        await bus.listen(inbox_of_scheduler(space, name), self._on_message, _ignore, _ignore)
        if not settings.head:
            self._lend_ssh_agent()
        return self

    def _lend_ssh_agent(self) -> None:
        """Who types commands now may have the keys that the head's connections need."""
        if path := os.environ.get("SSH_AUTH_SOCK"):
            ask = Ask(self._asking.nonce(), "ssh_agent", {"socket": path})
            self._peer.send(Frame(b"", 0, 0, ask))

    async def request(
        self, make: Callable[[int], ToHead], timeout_s: float = ANSWER_TIMEOUT_S
    ) -> dict[str, Any]:
        """Send `make(nonce)` until it is answered.

        Raises:
            RequestTimeout: no answer.
            NotUp: the cluster was taken down.
            CoveyError: what the head answered, by its class.
        """

        def send(message: ToHead) -> None:
            self._look_for_head()
            self._peer.send(Frame(b"", 0, 0, message))

        def too_late(what: str) -> RequestTimeout:
            return RequestTimeout(
                f"the head did not answer within {timeout_s:.0f} s: covey status",
                what=what,
                timeout_s=timeout_s,
            )

        return await self._asking.request(make, send, timeout_s, too_late)

    async def ask(self, what: str, **args: Any) -> dict[str, Any]:
        """Put a question or an order to the head (`wire.messages.Ask`)."""
        return await self.request(lambda nonce: Ask(nonce, what, args))

    async def close(self) -> None:
        """Disconnect."""
        await self._bus.close()

    def _look_for_head(self) -> None:
        """A head that was started again has another term, and keys that follow from it.

        Raises:
            NotUp: the cluster was taken down.
        """
        head = self._files.head()
        if head is None or self._is_of_another():
            raise NotUp("the cluster was taken down meanwhile: covey up goes on with its jobs")
        self._peer.rebind(head.term)

    def _is_of_another(self) -> bool:
        """It was taken down and brought up again: nothing there knows us any more."""
        try:
            return self._files.submit_key() != self._key
        except OSError:
            return True

    def _on_message(self, sender: str, data: bytes) -> None:
        if sender != HEAD:
            return
        try:
            frame = self._peer.open(data)
        except (Forged, Stale, DecodeError):
            return
        if frame is not None:
            self._receive(frame.message)

    def _receive(self, message: Message) -> None:
        if isinstance(message, Answer):
            self._asking.answered(message)
        elif isinstance(message, Output):
            if self.on_output is not None:
                self.on_output(message)
        elif isinstance(message, Advanced) and self.on_advanced is not None:
            self.on_advanced(message)


class HeadClient:
    """The same without asyncio, for commands that ask once."""

    def __init__(self, runner: asyncio.Runner, link: HeadLink) -> None:
        """Use `connect`."""
        self._runner = runner
        self._link = link

    @classmethod
    def connect(cls, settings: Settings) -> "HeadClient":
        """See `HeadLink.connect`."""
        runner = asyncio.Runner()
        try:
            return cls(runner, runner.run(HeadLink.connect(settings)))
        except BaseException:
            runner.close()
            raise

    def ask(self, what: str, **args: Any) -> dict[str, Any]:
        """See `HeadLink.ask`."""
        return self._runner.run(self._link.ask(what, **args))

    def close(self) -> None:
        """Disconnect."""
        self._runner.run(self._link.close())
        self._runner.close()

    def __enter__(self) -> "HeadClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _submit_key(files: HeadFiles) -> bytes:
    try:
        return files.submit_key()
    except OSError as error:
        raise NotUp from error


def _ignore(_: object) -> None:
    """Neither a silent head nor a lost link is news: requests repeat themselves."""
