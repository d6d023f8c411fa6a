"""The bus as the services see it.

Guarantees, and no more: a message is delivered at most once; messages of one publisher on one
subject arrive in order; a subscriber that is too slow loses messages, which is counted and told.
Everything else (order over reconnects, repetition, exactly-once application) is done by sessions
(`core.link`).
"""

from collections.abc import Callable
from typing import Protocol


class Handler(Protocol):
    """What is called, on the event loop, for each message. It must not block and must not raise."""

    def __call__(self, sender: str, data: bytes) -> None:
        """`sender` is the last token of the subject, as the server enforces it."""
        ...


class Bus(Protocol):
    """A connection of one identity (agent, scheduler, head or client) to the bus of a cluster."""

    @property
    def is_up(self) -> bool:
        """The connection is proven: an echo of ours came back within the last seconds."""
        ...

    async def listen(
        self,
        inbox: str,
        on_message: Handler,
        on_gone: Callable[[str], None],
        on_link: Callable[[bool], None],
    ) -> None:
        """Subscribe to the one inbound subject of this identity.

        on_gone(peer): the server says that nobody listens there (503). on_link(is_up): our
        connection went down or came up again; messages in either direction may have been lost
        meanwhile.
        """
        ...

    def publish(self, subject: str, reply_to: str, data: bytes) -> bool:
        """Hand `data` (at most `max_payload` bytes) to the connection; returns without waiting.

        False: not taken, because the link is down or its buffer is full; repeat later. A taken
        message may still be lost. `reply_to` is where the server's 503 goes (`wire.subjects`).

        Raises:
            PayloadTooLarge: data is longer than the server allows.
        """
        ...

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have."""
        ...

    @property
    def dropped(self) -> int:
        """Messages that the connection is known to have lost because we read too slowly."""
        ...

    async def flush(self, timeout_s: float) -> None:
        """Return when everything published so far has reached the server.

        Raises:
            RequestTimeout: the server did not answer in time.
        """
        ...

    async def close(self) -> None:
        """Send what is buffered (for at most a second), then disconnect. Never raises."""
        ...
