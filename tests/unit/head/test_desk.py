"""A request is obeyed once, however often it is said, and however long ago."""

from typing import Any, cast

import pytest

from covey.client.cluster import HEAD
from covey.head import desk as desk_module
from covey.head.desk import ANSWERS_MAX, Desk, Reply
from covey.wire.codec import encode
from covey.wire.messages import Ask, Frame
from covey.wire.signing import Context, seal

_KEY = b"k" * 32


class Wire:
    """The part of a bus that a desk uses."""

    max_payload = 1 << 20

    def publish(self, subject: str, reply_to: str, payload: bytes) -> bool:
        """Take a packet."""
        return True


class Counter:
    """A desk that counts what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.desk = Desk(
            bus=cast(Any, Wire()),
            cluster="lab",
            term=3,
            submit_key=_KEY,
            jobs=cast(Any, None),
            blobs=cast(Any, None),
            watched=lambda _, job, __: {"job": job},
            asked={"count": self._count},
        )

    def _count(self, args: dict[str, Any], reply: Reply) -> None:
        self.asked.append(int(args["n"]))
        reply({})

    def say(self, nonce: int, client: str = "client-1", term: int = 3) -> None:
        """One request of a client."""
        key = Context("lab", HEAD, client, term).key(_KEY, "ask", b"")
        frame = Frame(b"", 0, 0, Ask(nonce, "count", {"n": nonce}))
        for packet in seal(encode(frame), key, b"", 0, 1 << 19):
            self.desk.on_packet(client, packet)


def test_a_request_that_is_repeated_is_done_once() -> None:
    counter = Counter()
    counter.say(1)
    counter.say(1)
    assert counter.asked == [1]
    assert (counter.desk.stale, counter.desk.forged) == (0, 0)


def test_one_whose_answer_is_forgotten_is_not_done_again() -> None:
    counter = Counter()
    for nonce in range(1, ANSWERS_MAX + 3):
        counter.say(nonce)
    counter.say(1)
    assert counter.asked.count(1) == 1
    assert counter.desk.stale == 1


def test_nor_is_one_of_a_client_that_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_module, "CLIENTS_MAX", 2)
    counter = Counter()
    counter.say(1, "client-1")
    for other in range(2, 5):
        counter.say(other, f"client-{other}")
    counter.say(1, "client-1")
    counter.say(9, "client-1")
    assert counter.asked == [1, 2, 3, 4, 9]
    assert counter.desk.stale == 1


def test_one_of_an_earlier_head_is_late_and_one_without_a_key_is_forged() -> None:
    counter = Counter()
    counter.say(1, term=2)
    counter.desk.on_packet("client-1", bytes(100))
    assert counter.asked == []
    assert (counter.desk.stale, counter.desk.forged) == (1, 1)
