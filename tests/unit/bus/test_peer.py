"""What is late is told from what is forged."""

import pytest

from covey.bus.peer import TERMS_BACK_MAX, Peer
from covey.errors import Forged, Stale
from covey.wire.messages import Claim, Frame, Heartbeat
from covey.wire.signing import Context

_KEY, _SESSION = b"k" * 32, b"s" * 16


class Wire:
    """The part of a bus that a Peer uses: keeps what is published."""

    max_payload = 1 << 20

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def publish(self, subject: str, reply_to: str, payload: bytes) -> bool:
        """Take a packet."""
        self.sent.append(payload)
        return True


def a_peer(wire: Wire, *, term: int, key: bytes = _KEY, is_agent: bool = False) -> Peer:
    return Peer(
        wire,  # pyright: ignore[reportArgumentType]
        base_key=key,
        context=Context("lab", "a1", "head", term),
        directions=("up", "down") if is_agent else ("down", "up"),
        subject="to",
        reply_to="from",
    )


def a_packet(term: int, key: bytes = _KEY) -> bytes:
    """What the agent says to a scheduler of that term, in a session."""
    wire = Wire()
    a_peer(wire, term=term, key=key, is_agent=True).send(Frame(_SESSION, 1, 0, Claim(1, 1, 1, 1)))
    return wire.sent[0]


def test_a_packet_of_this_term_is_opened() -> None:
    frame = a_peer(Wire(), term=7).open(a_packet(7))
    assert frame is not None
    assert frame.message == Claim(1, 1, 1, 1)


@pytest.mark.parametrize("term", [6, 7 - TERMS_BACK_MAX])
def test_a_packet_of_an_earlier_term_is_late(term: int) -> None:
    with pytest.raises(Stale):
        a_peer(Wire(), term=7).open(a_packet(term))


@pytest.mark.parametrize(
    "packet",
    [a_packet(7, b"x" * 32), a_packet(6, b"x" * 32), a_packet(8)],
    ids=["key", "key-and-term", "later-term"],
)
def test_a_packet_of_another_key_or_a_term_to_come_is_forged(packet: bytes) -> None:
    with pytest.raises(Forged):
        a_peer(Wire(), term=7).open(packet)


def test_a_changed_packet_is_forged() -> None:
    packet = bytearray(a_packet(6))
    packet[-1] ^= 1
    with pytest.raises(Forged):
        a_peer(Wire(), term=7).open(bytes(packet))


def test_before_any_hello_an_agent_knows_no_term_and_calls_nobody_a_forger() -> None:
    wire = Wire()
    a_peer(wire, term=3).send(Frame(_SESSION, 0, 0, Heartbeat()))
    with pytest.raises(Stale):
        a_peer(Wire(), term=0, is_agent=True).open(wire.sent[0])
