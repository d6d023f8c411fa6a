import pytest

from covey.errors import DecodeError
from covey.model.context import (
    CallContext,
    CommandContext,
    decode_command,
    decode_context,
    encode_command,
    encode_context,
)


@pytest.mark.parametrize(
    "context",
    [
        CommandContext([1, b"x"], "/bin/bash", {"A": "\udcff", "B": ""}, "/a\udc80"),
        CallContext(b"f", ["", "/x"], "/", {"A": "b"}, ["prog", "-x"], "/x/prog.py"),
        CallContext(b"f", modules={"m": (True, b"x = 1")}, authkey=b"\0\xff"),
    ],
)
def test_a_context_survives_its_bytes(context: CommandContext | CallContext) -> None:
    assert decode_context(encode_context(context)) == context


def test_equal_contexts_have_one_digest_whatever_the_order_of_their_environment() -> None:
    one = CommandContext([], env={"A": "1", "B": "2"})
    two = CommandContext([], env={"B": "2", "A": "1"})
    assert encode_context(one) == encode_context(two)


@pytest.mark.parametrize("data", [b"", b"\x90", b"\x91\x07", b"\x92\x01\x02", b"\xc1"])
def test_other_bytes_are_no_context(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_context(data)


def test_the_payload_of_a_command_keeps_every_byte() -> None:
    args = [b"", b"\xff\n'", b"a b"]
    assert decode_command(encode_command(args, b"\0in")) == (args, b"\0in")
    assert decode_command(memoryview(encode_command(args))) == (args, None)


def test_other_bytes_are_no_payload_of_a_command() -> None:
    with pytest.raises(DecodeError):
        decode_command(b"\x91\x01")
