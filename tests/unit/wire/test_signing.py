"""Only what is signed for this direction, session and term is believed."""

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import DecodeError, Forged
from covey.wire.signing import Assembler, Context, derive, mac_of, seal, session_of

_BASE = b"k" * 32
_SESSION = b"s" * 16
_CONTEXT = Context("default", "lab1", "head", 3)


def _key(direction: str = "down", session: bytes = _SESSION, context: Context = _CONTEXT) -> bytes:
    return context.key(_BASE, direction, session)


@pytest.mark.parametrize(
    "other",
    [
        _key("up"),
        _key(session=b"t" * 16),
        _key(context=Context("default", "lab1", "head", 4)),
        _key(context=Context("default", "lab2", "head", 3)),
        _key(context=Context("default", "lab1", "s2", 3)),
        _key(context=Context("other", "lab1", "head", 3)),
        _CONTEXT.key(b"x" * 32, "down", _SESSION),
    ],
    ids=["direction", "session", "term", "agent", "scheduler", "cluster", "base key"],
)
def test_a_packet_is_bound_to_all_of_its_context(other: bytes):
    (packet,) = seal(b"payload", _key(), _SESSION, 1, 1000)

    assert Assembler().open(packet, _key()) == b"payload"
    with pytest.raises(Forged):
        Assembler().open(packet, other)


@given(st.binary(min_size=1, max_size=64), st.lists(st.binary(max_size=200), max_size=3))
def test_a_mac_is_the_hmac_of_its_pieces(key: bytes, pieces: list[bytes]):
    assert mac_of(key, *pieces) == hmac.digest(key, b"".join(pieces), "sha256")


def test_pieces_of_a_context_cannot_run_together():
    assert derive(_BASE, "ab", "c") != derive(_BASE, "a", "bc")


@given(st.binary(max_size=400), st.integers(1, 90))
def test_a_large_payload_is_cut_and_joined_in_any_order(payload: bytes, part_max: int):
    packets = seal(payload, _key(), _SESSION, 9, max(part_max, len(payload) // 100 + 1))
    assembler = Assembler()

    found = [assembler.open(packet, _key()) for packet in reversed(packets)]

    assert found[-1] == payload
    assert found[:-1] == [None] * (len(packets) - 1)
    assert all(session_of(packet) == _SESSION for packet in packets)


def test_parts_of_a_frame_that_was_given_up_do_not_stay():
    first = seal(b"a" * 30, _key(), _SESSION, 1, 10)
    second = seal(b"b" * 30, _key(), _SESSION, 2, 10)
    assembler = Assembler()

    assert assembler.open(first[0], _key()) is None
    assert [assembler.open(packet, _key()) for packet in second][-1] == b"b" * 30
    assert assembler.open(first[1], _key()) is None


@given(st.binary(max_size=200))
def test_hostile_packets_are_refused(packet: bytes):
    with pytest.raises((Forged, DecodeError)):
        _read(packet)


def _read(packet: bytes) -> None:
    session_of(packet)
    Assembler().open(packet, _key())


def test_a_frame_of_too_many_parts_is_not_sent():
    with pytest.raises(DecodeError):
        seal(bytes(1000), _key(), _SESSION, 1, 1)
