"""What passes between a far client and the door of a head: frames, rows, errors. Pure.

    MARK line, then frames both ways: length (4 bytes, little-endian) | msgpack
    question = [method, arguments]     answer = [value, nil] or [nil, [class, sentence]]

Whatever the shell there prints before the mark is skipped.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, cast

from covey import errors
from covey.errors import CoveyError, DecodeError
from covey.model.pack import pack, unpack
from covey.model.task import OutcomeState
from covey.scheduler.rows import EventRow, JobRow, OutcomeRow
from covey.wire.codec import spec_from_wire, spec_to_wire

#: The line behind which frames begin.
MARK = b"covey-door-1\n"
#: Questions that the ledger answers: also when nothing is up there.
READING = frozenset(
    {
        *("jobs", "last_job", "job", "items", "events"),
        *("outcomes", "outcomes_of", "attempts", "output"),
    }
)
#: A page of rows is at most 8 MiB, one row (a task's output) may be larger.
FRAME_MAX_BYTES = 256 * 1024 * 1024

_JOB = tuple(field.name for field in fields(JobRow))
_OUTCOME = OutcomeRow._fields
_EVENT = tuple(field.name for field in fields(EventRow))
_read_job, _read_outcome = attrgetter(*_JOB), attrgetter(*_OUTCOME)
_read_event = attrgetter(*_EVENT)
_STATE, _ERROR = _OUTCOME.index("state"), _OUTCOME.index("error")
_SPEC, _RUN = _JOB.index("spec"), _JOB.index("run")


def frame(value: Any) -> bytes:
    """The bytes of a frame."""
    body = pack(value)
    return len(body).to_bytes(4, "little") + body


def read_frame(read: Callable[[int], bytes]) -> Any:
    """The next frame. `read(n)` gives n bytes, fewer at the end.

    Raises:
        EOFError: there is none.
        DecodeError: it makes no sense.
    """
    head = read(4)
    if len(head) < 4:
        raise EOFError
    length = int.from_bytes(head, "little")
    if length > FRAME_MAX_BYTES:
        raise DecodeError(f"a frame of {length:,} bytes is too long")
    body = read(length)
    if len(body) < length:
        raise EOFError
    try:
        return unpack(body)
    except ValueError as error:
        raise DecodeError(f"a frame cannot be read: {error}") from error


def plain(value: object) -> Any:
    """What a method gave, as lists and values that travel."""
    if isinstance(value, JobRow):
        return job_to_plain(value)
    if isinstance(value, OutcomeRow):
        return outcome_to_plain(value)
    if isinstance(value, EventRow):
        return list(_read_event(value))
    if isinstance(value, list | tuple):
        return [plain(one) for one in cast("Sequence[object]", value)]
    return value


def job_to_plain(row: JobRow) -> list[Any]:
    """A job row as a list."""
    values = list(_read_job(row))
    values[_SPEC] = spec_to_wire(row.spec)
    values[_RUN] = None if row.run is None else str(row.run)
    return values


def job_from_plain(row: Sequence[Any]) -> JobRow:
    """The row that `job_to_plain` wrote."""
    values = list(row)
    values[_SPEC] = spec_from_wire(values[_SPEC])
    values[_RUN] = None if values[_RUN] is None else Path(values[_RUN])
    return JobRow(*values[: len(_JOB)])


def outcome_to_plain(row: OutcomeRow) -> list[Any]:
    """An outcome row as a list."""
    values = list(_read_outcome(row))
    values[_STATE] = int(row.state)
    return values


def outcome_from_plain(row: Sequence[Any]) -> OutcomeRow:
    """The row that `outcome_to_plain` wrote."""
    values = list(row)
    values[_STATE] = OutcomeState(values[_STATE])
    values[_ERROR] = None if values[_ERROR] is None else tuple(values[_ERROR])
    return OutcomeRow(*values[: len(_OUTCOME)])


def event_from_plain(row: Sequence[Any]) -> EventRow:
    """The event that `plain` wrote."""
    return EventRow(*row[: len(_EVENT)])


def error_to_plain(error: CoveyError) -> list[str]:
    """An error as its class and its sentence."""
    return [type(error).__name__, error.message]


def error_from_plain(told: Sequence[str]) -> CoveyError:
    """The error that `error_to_plain` wrote; of a class that is not known here, a CoveyError."""
    kind = getattr(errors, str(told[0]), CoveyError)
    if not (isinstance(kind, type) and issubclass(kind, CoveyError)):
        kind = CoveyError
    return kind(str(told[1]))
