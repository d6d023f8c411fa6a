"""What is reported of the tasks that a dead child left behind."""

import os
import signal
import time

from covey.agent.handle import Run
from covey.model.report import Report, encode_report
from covey.model.task import OutcomeState

_RETURNED = int(OutcomeState.RETURNED)
_CRASHED = int(OutcomeState.CRASHED)
_CANCELLED = int(OutcomeState.CANCELLED)
_TIMED_OUT = int(OutcomeState.TIMED_OUT)


def how_it_ended(status: int | None) -> str:
    """`exit status 3`, `signal SIGSEGV`, for a status of waitpid; None = unknown."""
    if status is None:
        return "its process is gone"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit status {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


def blame(run: Run, index: int, how: str, status: int | None) -> tuple[list[int], list[bytes]]:
    """States and reports of the tasks of a run that have no result when its child is dead.

    index: of the task that was marked last, -1 = none.
    """
    states: list[int] = []
    reports: list[bytes] = []
    for number in range(run.received, len(run.chunk.ids)):
        if number == index:
            state, report = _of_marked(run, how, status)
        elif number in run.struck:
            state, report = _CANCELLED, b""
        else:
            state, report = _RETURNED, b""
        states.append(state)
        reports.append(report)
    return states, reports


def _of_marked(run: Run, how: str, status: int | None) -> tuple[int, bytes]:
    state = _CRASHED if run.verdict is None else run.verdict
    if state == _TIMED_OUT:
        error = ("TaskTimeout", f"it ran longer than {run.chunk.time_limit_s:g} s", "")
    elif state == _CANCELLED:
        error = ("CancelledError", "it was stopped on request", "")
    else:
        error = ("TaskCrashed", f"the process that ran it died: {how}", "")
    code = os.waitstatus_to_exitcode(status) if status is not None else 0
    report = Report(
        exit=max(code, 0),
        signal=max(-code, 0),
        ended=time.time(),
        slot=run.chunk.slot,
        error=error,
    )
    return state, encode_report(report)
