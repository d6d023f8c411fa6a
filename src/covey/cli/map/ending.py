"""How a `covey map` ends: its exit status, and what --halt and Ctrl-C say. Pure."""

import shlex
from dataclasses import dataclass

from covey.model.job import HaltPolicy

#: More failed tasks than this all give the exit status 101.
FAILED_MAX = 100
#: What a shell adds to the number of the signal that ended a command.
SIGNAL_BASE = 128


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known when no task runs any more.

    `halted_by`: (exit, signal) of the task that made --halt true; None = it never was.
    """

    succeeded: int
    failed: int
    total: int
    halted_by: tuple[int, int] | None = None


def exit_code(end: Ending, halt: HaltPolicy | None) -> int:
    """The exit status, as GNU parallel's manual has it.

    0 = all succeeded; 1-100 = that many failed; 101 = more. When --halt came true: 0 for success=N;
    the status of the task itself for fail=1 and done=1. With a percentage, also where it did not
    come true: the percentage of tasks that failed.
    """
    if halt is not None and end.halted_by is not None:
        if halt.on == "success":
            return 0
        if halt.count == 1:
            exit_status, signal = end.halted_by
            return SIGNAL_BASE + signal if signal else exit_status & 0xFF
    if halt is not None and halt.percent and end.total:
        # Rounded up, so that one of a thousand is no success.
        return -(-100 * end.failed // end.total)
    return min(end.failed, FAILED_MAX + 1)


def halt_line(halt: HaltPolicy, running: int) -> str:
    """Why no more tasks are started."""
    much = f"{halt.percent:g}%" if halt.percent else f"{halt.count}"
    what = f"--halt {halt.when},{halt.on}={much} came true"
    if halt.when == "now" or not running:
        return f"{what}: stopping"
    return f"{what}: starting no more, waiting for {running} running"


def interrupted_lines(job: int, *, goes_on: bool) -> list[str]:
    """What the first Ctrl-C prints: how to come back, or where what was done is kept."""
    if goes_on:
        return [
            f"job {job} goes on — come back: covey attach {job}   stop it: covey cancel {job}",
        ]
    return [f"stopped — go on with what is left: covey resume {job}"]


def command_line(argv: list[str]) -> str:
    """The command line as it would be typed, for `covey jobs` and `covey show`."""
    return "covey map " + " ".join(
        word if _is_separator(word) else shlex.quote(word) for word in argv
    )


def _is_separator(word: str) -> bool:
    return word.rstrip("+") in (":::", "::::")
