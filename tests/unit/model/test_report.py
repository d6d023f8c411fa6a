import pytest

from covey.errors import DecodeError
from covey.model.report import FIELDS_TAG, VALUE_TAG, Report, decode_report, encode_report

FULL = Report(
    exit=3,
    signal=9,
    started=1.5,
    ended=2.5,
    cpu_s=0.25,
    rss_bytes=4096,
    slot=2,
    out=b"\xff\n",
    err=b"no",
    out_size=2,
    err_size=99,
    value=b"v",
    error=("ValueError", "bad \udcff", "Traceback…"),
    error_pickle=b"p",
)


def test_a_report_survives_its_bytes() -> None:
    back = decode_report(encode_report(FULL))
    assert back.error == ("ValueError", "bad \\udcff", "Traceback…")
    back.error = FULL.error
    assert back == FULL


def test_a_value_costs_one_byte() -> None:
    assert decode_report(VALUE_TAG + b"pickle") == Report(value=b"pickle")


def test_no_bytes_are_an_empty_report() -> None:
    assert decode_report(b"") == Report()


@pytest.mark.parametrize("data", [b"x", b"Rest", FIELDS_TAG, FIELDS_TAG + b"\x93"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_report(data)


def test_a_later_covey_may_append_fields() -> None:
    data = bytearray(encode_report(Report(exit=4)))
    data[1] += 1  # the length of the list
    assert decode_report(bytes(data) + b"\x07").exit == 4
