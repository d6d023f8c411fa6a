"""What travels to a machine for an errand, and what it brings back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.errors import DecodeError
from covey.model.context import CommandContext, decode_context, encode_context
from covey.model.errand import (
    Errand,
    Gathered,
    GatheredFile,
    decode_errand,
    decode_gathered,
    encode_errand,
    encode_gathered,
    is_errand,
)
from covey.model.template import Template

#: Every string that the system can hand over: any bytes but NUL.
_texts = st.binary(max_size=20).map(
    lambda raw: raw.replace(b"\0", b"").decode("utf-8", "surrogateescape")
)
_errands = st.builds(
    Errand,
    argv=st.lists(st.binary(max_size=20), max_size=4).map(tuple),
    line=st.binary(max_size=20),
    script_name=st.binary(max_size=20),
    script=st.binary(max_size=200),
    project=_texts,
    env=st.dictionaries(_texts, _texts, max_size=3),
    is_python=st.booleans(),
)


@given(_errands)
def test_an_errand_comes_out_as_it_went_in(errand: Errand):
    data = encode_errand(errand)
    assert is_errand(data)
    assert decode_errand(data) == errand


def test_names_that_are_no_unicode_travel():
    errand = Errand(line=b"\xff", project="caf\udce9", env={"A": "\udcff"})
    assert decode_errand(encode_errand(errand)) == errand


def test_a_context_of_commands_is_no_errand():
    context = encode_context(CommandContext(Template.parse(b"true").to_wire()))
    assert not is_errand(context)
    with pytest.raises(DecodeError):
        decode_errand(context)
    with pytest.raises(DecodeError):
        decode_context(encode_errand(Errand(line=b"true")))


@given(st.binary(max_size=60))
def test_nonsense_is_refused_and_never_crashes(data: bytes):
    is_errand(data)
    for read in (decode_errand, decode_gathered):
        try:
            read(data)
        except DecodeError:
            continue


def test_what_is_gathered_comes_out_as_it_went_in():
    files = (GatheredFile(b"a/\xff\n", 0o640, 12.5, b"\0data"), GatheredFile(b"b", 0o755, 0.0, b""))
    gathered = Gathered(files, (b"big",), 3, 10**12, b"/home/x")
    assert decode_gathered(encode_gathered(gathered)) == gathered


def test_nothing_gathered_costs_nothing():
    assert encode_gathered(Gathered(directory=b"/home/x")) == b""
    assert decode_gathered(b"") == Gathered()
