"""What passes through the door of a head comes out as it went in."""

import io
from pathlib import Path

import pytest

from covey.client import doorway
from covey.errors import CoveyError, DecodeError, JobNotFound
from covey.model.job import HaltPolicy, JobSpec, Shape
from covey.model.pack import unpack
from covey.model.task import OutcomeState
from covey.scheduler.rows import EventRow, JobRow, OutcomeRow

JOB = JobRow(
    7, "key", "name", JobSpec(shapes=(Shape(slots=2),), halt=HaltPolicy("now", "fail", 1)),
    "running", "", 5, None, 2, 1, 1, 0, 3, 4, 9, 1.5, None, Path("/runs/7"), True,
)  # fmt: skip
OUTCOME = OutcomeRow(
    9, 7, 2, 1, 4, 1, "lab1", 1, OutcomeState.FAILED, 0, 9, 1.0, None, 0.5, 10,
    b"out\xff", b"", b"value", 4, 0, ("ValueError", "x", "trace"), b"pickle", b"C",
)  # fmt: skip


def carried(value: object) -> object:
    return doorway.read_frame(io.BytesIO(doorway.frame(doorway.plain(value))).read)


def test_rows_come_out_as_they_went_in() -> None:
    (job,) = carried([JOB])  # pyright: ignore
    assert doorway.job_from_plain(job) == JOB  # pyright: ignore
    (outcome,) = carried([OUTCOME])  # pyright: ignore
    assert doorway.outcome_from_plain(outcome) == OUTCOME  # pyright: ignore
    event = EventRow(1, 7, 2.5, "note", "text")
    assert doorway.event_from_plain(carried(event)) == event  # pyright: ignore


def test_fields_of_a_newer_covey_are_left_out() -> None:
    plain = [*doorway.outcome_to_plain(OUTCOME), "new"]
    assert doorway.outcome_from_plain(plain) == OUTCOME


def test_errors_keep_their_class_if_it_is_known_here() -> None:
    known = doorway.error_from_plain(doorway.error_to_plain(JobNotFound("there is no job 3")))
    assert (type(known), known.message) == (JobNotFound, "there is no job 3")
    for name in ("NewKind", "annotations", "Path"):
        assert type(doorway.error_from_plain([name, "x"])) is CoveyError


@pytest.mark.parametrize("data", [b"", b"\x05\0\0", b"\x05\0\0\0ab"])
def test_the_end_in_the_midst_of_a_frame_is_the_end(data: bytes) -> None:
    with pytest.raises(EOFError):
        doorway.read_frame(io.BytesIO(data).read)


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x02\0\0\0\xc1\xc1"])
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        doorway.read_frame(io.BytesIO(data).read)


def test_a_frame_says_how_long_it_is() -> None:
    data = doorway.frame(["job", [1]])
    assert int.from_bytes(data[:4], "little") == len(data) - 4
    assert unpack(data[4:]) == ["job", [1]]
