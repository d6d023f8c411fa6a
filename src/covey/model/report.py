"""What is known of an attempt that ended: measured where it ran, kept in the ledger.

A child process makes it, agent and scheduler pass its bytes on unread, the client or the ledger
decodes it. The first byte says which form follows (`R` is taken by `model.reference`):

    b"V"  the pickled value of a callable that returned: the hot path, nothing else is known
    b"F"  a msgpack list: the fields of `Report` in their order

`b""` is the report of a task that never started.
"""

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from covey.errors import DecodeError
from covey.model.pack import pack, unpack

#: First byte of a report that is only a pickled value, and of one that is a list of fields.
VALUE_TAG = b"V"
FIELDS_TAG = b"F"


@dataclass(slots=True)
class Report:
    """The end of one attempt. Times are seconds since the epoch by the clock of its machine.

    How it ended (`OutcomeState`) stands beside it. Add fields at the end only: ledgers hold old
    ones.
    """

    #: Exit status of a command; of a callable 0, or 1 when it raised.
    exit: int = 0
    #: The signal that ended the process; 0 = none.
    signal: int = 0
    #: 0.0 = not measured (callables that returned).
    started: float = 0.0
    ended: float = 0.0
    #: User and system time of the process tree.
    cpu_s: float = 0.0
    #: Largest resident set of the leader (Linux counts the runner that started it as well).
    rss_bytes: int = 0
    #: Slot of its machine, from 1.
    slot: int = 0
    #: What was kept of standard output and error …
    out: bytes = b""
    err: bytes = b""
    #: … and how much there was.
    out_size: int = 0
    err_size: int = 0
    #: The pickled result of a callable; of a batch that failed, the list of results before that.
    value: bytes = b""
    #: (type name, text, traceback text) of what a callable raised, or how its process died.
    error: tuple[str, str, str] | None = None
    #: The pickled exception, where it can travel.
    error_pickle: bytes = b""


_NAMES = tuple(field.name for field in fields(Report))
_row = attrgetter(*_NAMES)
_ERROR = _NAMES.index("error")


def encode_report(report: Report) -> bytes:
    """The bytes of a report in its long form."""
    row: list[Any] = list(_row(report))
    if report.error:
        row[_ERROR] = [text.encode("utf-8", "backslashreplace").decode() for text in report.error]
    return FIELDS_TAG + pack(row)


def decode_report(data: bytes) -> Report:
    """The report in `data`; an empty one for `b""`.

    Raises:
        DecodeError: these are not the bytes of a report.
    """
    if not data:
        return Report()
    tag = data[:1]
    if tag == VALUE_TAG:
        return Report(value=data[1:])
    if tag != FIELDS_TAG:
        raise DecodeError(f"a report begins with {tag!r}; this covey knows V and F")
    try:
        row: list[Any] = unpack(memoryview(data)[1:])
        report = Report(*row[: len(_NAMES)])
        if report.error is not None:
            kind, text, trace = report.error
            report.error = (kind, text, trace)
    except (ValueError, TypeError) as error:
        raise DecodeError(f"a report of {len(data)} bytes cannot be read: {error}") from error
    return report
