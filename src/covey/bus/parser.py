"""Reads what a nats-server says: bytes in, calls out. No socket, no clock.

It replaces the parser of nats-py on an established connection: that one is a coroutine which awaits
a callback per message, and an exception out of any callback ends its read loop without a word
(reliability.md P1). Protocol: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from typing import Protocol

from covey.errors import ProtocolError

#: No line of the server is longer: 4 KiB of control line, or an INFO with its list of cluster
#: addresses.
LINE_MAX_BYTES = 256 * 1024
#: No server can be told to take longer messages; who announces one is none.
MESSAGE_MAX_BYTES = 64 * 1024 * 1024

_CRLF = b"\r\n"
_CRLF_BYTES = 2
#: First bytes of a message with headers whose status line says: nobody listens on that subject.
_NO_RESPONDERS = b"NATS/1.0 503"


class Listener(Protocol):
    """Who is told what was read, in order. It must not raise."""

    def on_message(self, subject: bytes, data: bytes) -> None:
        """A message for our one subscription."""

    def on_nobody(self, subject: bytes) -> None:
        """The server's 503: a message of ours with this reply-to found no subscriber."""

    def on_ping(self) -> None:
        """The server wants a PONG."""

    def on_pong(self) -> None:
        """The answer to our oldest unanswered PING."""

    def on_error(self, text: str) -> None:
        """`-ERR`; some of them end the connection, which the server then does itself."""


class Parser:
    """Cuts the stream of one connection into operations and tells `listener` of each."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Read on with `data`; incomplete operations are kept for the next call.

        Raises:
            ProtocolError: no nats-server says this; the connection is of no more use.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        while (end := buffer.find(_CRLF, at)) >= 0:
            stop = self._operation(buffer, at, end)
            if stop < 0:
                break
            at = stop
        else:
            if len(buffer) - at > LINE_MAX_BYTES:
                raise ProtocolError(f"the bus sent a line of over {LINE_MAX_BYTES} bytes")
        del buffer[:at]

    def _operation(self, buffer: bytearray, at: int, end: int) -> int:
        """Tell of the operation whose first line is at:end; returns its end, -1 = not whole."""
        after = end + _CRLF_BYTES
        first = buffer[at]
        if first == 0x4D:  # M: MSG subject sid [reply] size
            words = buffer[at:end].split()
            body = after + _size(words, 4, 5)
            if len(buffer) < body + _CRLF_BYTES:
                return -1
            with memoryview(buffer) as view:
                data = bytes(view[after:body])
            self._listener.on_message(bytes(words[1]), data)
            return body + _CRLF_BYTES
        if first == 0x48:  # H: HMSG subject sid [reply] header-size size
            return self._with_headers(buffer, at, end)
        self._line(bytes(buffer[at:end]))
        return after

    def _with_headers(self, buffer: bytearray, at: int, end: int) -> int:
        words = buffer[at:end].split()
        after = end + _CRLF_BYTES
        body = after + _size(words, 5, 6)
        if len(buffer) < body + _CRLF_BYTES:
            return -1
        data_at = after + _size(words[:-1], 4, 5)
        if data_at > body:
            raise ProtocolError("the bus sent headers longer than their message")
        subject = bytes(words[1])
        if data_at == body and buffer.startswith(_NO_RESPONDERS, after):
            self._listener.on_nobody(subject)
        else:
            self._listener.on_message(subject, bytes(buffer[data_at:body]))
        return body + _CRLF_BYTES

    def _line(self, line: bytes) -> None:
        word = line[:4].upper()
        if word == b"PING":
            self._listener.on_ping()
        elif word == b"PONG":
            self._listener.on_pong()
        elif word == b"-ERR":
            self._listener.on_error(line[4:].decode("utf-8", "replace").strip(" '"))
        elif word not in (b"INFO", b"+OK"):
            # INFO on an open connection tells of other servers of a cluster; our addresses are the
            # user's.
            raise ProtocolError(f"the bus sent {line[:40]!r}, which no nats-server says")


def _size(words: list[bytearray], least: int, most: int) -> int:
    """The number at the end of a message line of `least` to `most` words."""
    if least <= len(words) <= most and words[-1].isdigit():
        size_bytes = int(words[-1])
        if size_bytes <= MESSAGE_MAX_BYTES:
            return size_bytes
    raise ProtocolError(f"the bus sent a malformed message line {bytes(b' '.join(words))[:80]!r}")
