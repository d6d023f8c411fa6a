import signal

import pytest

from covey.agent.ending import blame, how_it_ended
from covey.agent.handle import Chunk, Run
from covey.model.job import Shape
from covey.model.report import decode_report
from covey.model.task import OutcomeState

S = OutcomeState


def a_run(received: int = 0, *, struck: tuple[int, ...] = (), verdict: int | None = None) -> Run:
    chunk = Chunk(3, "callable", "s", 1, [1, 2, 3, 4], [1] * 4, [], b"", "", Shape(), 2.5)
    return Run(chunk, 1, received=received, struck=set(struck), verdict=verdict)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (3 << 8, "exit status 3"),
        (signal.SIGSEGV, "signal SIGSEGV"),
        (40, "signal 40"),
        (None, "its process is gone"),
    ],
)
def test_the_end_of_a_process_has_words(status: int | None, text: str) -> None:
    assert how_it_ended(status) == text


def test_the_marked_task_is_blamed_and_the_rest_returned() -> None:
    states, reports = blame(a_run(1), 2, "signal SIGKILL", 9)
    assert states == [S.RETURNED, S.CRASHED, S.RETURNED]
    report = decode_report(reports[1])
    assert (report.signal, report.slot) == (9, 3)
    assert report.error is not None
    assert report.error[0] == "TaskCrashed"
    assert "SIGKILL" in report.error[1]


def test_without_a_mark_nobody_is_blamed() -> None:
    assert blame(a_run(), -1, "", None)[0] == [S.RETURNED] * 4


def test_a_mark_on_a_task_that_has_its_result_blames_nobody() -> None:
    assert blame(a_run(2), 1, "", 9)[0] == [S.RETURNED, S.RETURNED]


def test_struck_tasks_are_cancelled() -> None:
    assert blame(a_run(struck=(0, 3)), 1, "", 9)[0] == [
        S.CANCELLED,
        S.CRASHED,
        S.RETURNED,
        S.CANCELLED,
    ]


def test_a_task_over_its_time_limit_is_told_so() -> None:
    states, reports = blame(a_run(verdict=S.TIMED_OUT), 0, "", 15)
    assert states[0] == S.TIMED_OUT
    error = decode_report(reports[0]).error
    assert error is not None
    assert "2.5 s" in error[1]
