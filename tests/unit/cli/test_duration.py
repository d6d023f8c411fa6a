"""Lengths of time, typed and shown."""

import pytest

from covey.cli.duration import duration, parse_duration
from covey.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3s", 3.0),
        ("30d", 30 * 86400.0),
        ("1h 30m", 5400.0),
        ("1h30m", 5400.0),
        ("0.5", 0.5),
        (".5h", 1800.0),
        ("250ms", 0.25),
        ("2w", 14 * 86400.0),
        ("0", 0.0),
    ],
)
def test_a_length_of_time_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "3y", "-3s", "1h 30", "3 s x", "1..5", "inf", "nan"])
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="length of time"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1.0, "0.0 ms"),
        (0.0003, "0.3 ms"),
        (0.0129, "12.9 ms"),
        (0.31, "0.31 s"),
        (42.4, "42 s"),
        (59.6, "1:00"),
        (187.0, "3:07"),
        (3599.7, "1:00:00"),
        (7387.0, "2:03:07"),
        (4 * 86400 + 2 * 3600 + 180, "4 d 02:03"),
    ],
)
def test_a_length_of_time_is_shown(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text
