"""The language of a nats-server, cut at every possible place."""

import pytest

from covey.bus.parser import LINE_MAX_BYTES, Parser
from covey.errors import ProtocolError

STREAM = (
    b"MSG covey.c.a.lab1.head 1 5\r\nhello\r\n"
    b"PING\r\n"
    b"MSG covey.c.a.lab1.head 1 covey.c.s.head.lab1 12\r\nwith\r\nCRLF\r\n\r\n"
    b"MSG covey.c.a.lab1.head 1 0\r\n\r\n"
    b"HMSG covey.c.a.lab1.lab2 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
    b"HMSG covey.c.a.lab1.x 1 18 23\r\nNATS/1.0\r\nA: b\r\n\r\nhello\r\n"
    b"PONG\r\n"
    b'INFO {"ldm":true}\r\n'
    b"+OK\r\n"
    b"-ERR 'Permissions Violation for Publish to \"x\"'\r\n"
)
TOLD = [
    ("message", b"covey.c.a.lab1.head", b"hello"),
    ("ping",),
    ("message", b"covey.c.a.lab1.head", b"with\r\nCRLF\r\n"),
    ("message", b"covey.c.a.lab1.head", b""),
    ("nobody", b"covey.c.a.lab1.lab2"),
    ("message", b"covey.c.a.lab1.x", b"hello"),
    ("pong",),
    ("error", 'Permissions Violation for Publish to "x"'),
]


class Recorder:
    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def on_message(self, subject: bytes, data: bytes) -> None:
        self.told.append(("message", subject, data))

    def on_nobody(self, subject: bytes) -> None:
        self.told.append(("nobody", subject))

    def on_ping(self) -> None:
        self.told.append(("ping",))

    def on_pong(self) -> None:
        self.told.append(("pong",))

    def on_error(self, text: str) -> None:
        self.told.append(("error", text))


def test_everything_is_told_in_order() -> None:
    recorder = Recorder()
    Parser(recorder).feed(STREAM)
    assert recorder.told == TOLD


@pytest.mark.parametrize("cut", range(1, len(STREAM)))
def test_a_cut_anywhere_changes_nothing(cut: int) -> None:
    recorder = Recorder()
    parser = Parser(recorder)
    parser.feed(STREAM[:cut])
    parser.feed(STREAM[cut:])
    assert recorder.told == TOLD


def test_byte_by_byte_changes_nothing() -> None:
    recorder = Recorder()
    parser = Parser(recorder)
    for at in range(len(STREAM)):
        parser.feed(STREAM[at : at + 1])
    assert recorder.told == TOLD


@pytest.mark.parametrize(
    "garbage",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\r\n",
        b"MSG a 1\r\n",
        b"MSG a 1 -4\r\n",
        b"MSG a b c d e 4\r\n",
        b"HMSG a 1 4\r\n",
        b"HMSG a 1 9 4\r\nabcd\r\n",
        b"x" * (LINE_MAX_BYTES + 1),
    ],
)
def test_another_language_is_refused(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        Parser(Recorder()).feed(garbage)
