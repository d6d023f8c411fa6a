"""Frames survive the wire; hostile bytes raise nothing but DecodeError."""

from contextlib import suppress
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import DecodeError
from covey.model.job import HaltPolicy, JobSpec, RetryPolicy, Shape
from covey.model.pack import pack, unpack
from covey.wire.codec import cut, decode, encode, spec_from_wire, spec_to_wire
from covey.wire.messages import TAGS, Describe, Frame, Grant

_SESSION = bytes(range(16))


def _sample(kind: str) -> Any:
    if "Shape" in kind:
        return Shape(slots=2, context="ab", time_limit_s=1.5, machines=("lab1", "lab2"))
    if kind.startswith("list"):
        return [[1, 2]] if "list[list" in kind else [1, 2, 3]
    samples: dict[str, Any] = {"int": 7, "str": "x", "bytes": b"\0body", "float": 0.5, "bool": True}
    return samples.get(kind, {"k": 1})


@pytest.mark.parametrize("cls", TAGS.values(), ids=lambda cls: cls.__name__)
def test_every_message_survives_the_wire(cls: type[Any]):
    message = cls(
        **{f.name: _sample(str(getattr(f.type, "__name__", f.type))) for f in fields(cls)}
    )
    frame = Frame(_SESSION, 3, 2, message)

    assert decode(encode(frame)) == frame


@pytest.mark.parametrize("cls", TAGS.values(), ids=lambda cls: cls.__name__)
def test_optional_fields_stand_behind_the_needed_ones(cls: type[Any]):
    """So that a shorter message of an older side can be read."""
    needed = [f.default is MISSING and f.default_factory is MISSING for f in fields(cls)]
    if fields(cls)[-1].name == "body":
        needed.pop()

    assert needed == sorted(needed, reverse=True)


def test_fields_of_a_newer_side_are_cut_off():
    known = Frame(b"", 0, 0, Describe(1, 1, Shape()))

    data = encode(known)
    header = unpack(data[4:])
    longer = pack([*header, "new"])

    assert decode(len(longer).to_bytes(4, "little") + longer) == known


@given(st.binary(max_size=300))
def test_hostile_bytes_raise_decode_error_only(data: bytes):
    with suppress(DecodeError):
        decode(data)


@given(st.integers(0, 400), st.integers(0, 255))
def test_a_damaged_frame_raises_decode_error_only(at: int, value: int):
    data = bytearray(
        encode(Frame(_SESSION, 1, 0, Grant(1, 1, 1, [1, 2], [1, 1], [3, 2], b"abcde")))
    )
    data[at % len(data)] = value
    with suppress(DecodeError):
        decode(bytes(data))


def test_a_body_whose_lengths_do_not_add_up_is_refused():
    assert cut(b"abcde", [3, 0, 2]) == [b"abc", b"", b"de"]
    with pytest.raises(DecodeError):
        cut(b"abcde", [3, 3])
    with pytest.raises(DecodeError):
        cut(b"abcde", [6, -1])


def test_a_job_specification_survives_the_wire():
    spec = JobSpec(
        name="n",
        user="u",
        retry=RetryPolicy(3, 4),
        halt=HaltPolicy("now", "fail", 0, 5.0),
        on_lost="wait",
        start_delay_s=0.5,
        shapes=(Shape(slots=2), Shape(kind="callable")),
        client={"argv": [b"\xff"]},
    )

    assert spec_from_wire(spec_to_wire(spec)) == spec
    with pytest.raises(DecodeError):
        spec_from_wire({"name": "n"})
