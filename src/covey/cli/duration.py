"""Lengths of time as people write and read them. Pure."""

import re

from covey.errors import UsageError

#: Seconds in each unit that may be typed.
UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
_PART = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(ms|[smhdw])?\s*")


def parse_duration(text: str) -> float:
    """Seconds in `3s`, `30d`, `1h 30m`, `0.5` (a bare number is seconds).

    Raises:
        UsageError: it is no length of time.
    """
    total_s, at, parts = 0.0, 0, 0
    while at < len(text):
        found = _PART.match(text, at)
        if found is None or (found[2] is None and (parts or found.end() != len(text))):
            break
        total_s += float(found[1]) * UNITS_S[found[2] or "s"]
        at, parts = found.end(), parts + 1
    if not parts or at != len(text):
        raise UsageError(f"{text!r} is no length of time — write 90s, 2m, 1h 30m or 30d")
    return total_s


def duration(seconds: float | None) -> str:
    """`0.4 ms`, `0.31 s`, `42 s`, `3:07`, `2:03:07`, `4 d 02:03`; `-` when there is none."""
    if seconds is None:
        return "-"
    if seconds < 0.1:
        return f"{max(seconds, 0.0) * 1000:.1f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}:{minutes:02d}:{rest:02d}"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours:02d}:{minutes:02d}"
