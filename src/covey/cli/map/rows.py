"""What the outputs of `covey map` need to know of a task that ended, in the terms of a joblog."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow

#: Exitval of a task that was killed by covey, not by itself (GNU parallel's -1).
KILLED_EXIT = -1
#: Signal of a task that ran into its time limit, where none was measured.
SIGTERM = 15


class Logged(NamedTuple):
    """A task as a joblog, a results file or `--json` shows it. Times in seconds, sizes in bytes."""

    seq: int
    host: str
    started: float
    runtime_s: float
    send: int
    receive: int
    exitval: int
    signal: int
    command: bytes
    args: Sequence[bytes]
    out: bytes
    err: bytes

    @property
    def succeeded(self) -> bool:
        """Whether it counts as done for --resume-failed."""
        return self.exitval == 0 and self.signal == 0


def exit_and_signal(row: OutcomeRow) -> tuple[int, int]:
    """Exitval and Signal of a joblog line: exit 0 with a signal when a signal ended it."""
    match row.state:
        case OutcomeState.SUCCEEDED:
            return 0, 0
        case OutcomeState.FAILED:
            # A command that could not be started at all has neither; it must not look like success.
            return (0, row.signal) if row.signal else (row.exit or KILLED_EXIT, 0)
        case OutcomeState.TIMED_OUT:
            return KILLED_EXIT, row.signal or SIGTERM
        case _:
            return KILLED_EXIT, row.signal


def logged(
    row: OutcomeRow,
    *,
    seq: int,
    args: list[bytes],
    command: Callable[[OutcomeRow], bytes],
    host: Callable[[str], str],
    send: int = 0,
) -> Logged:
    """The joblog's view of a row."""
    exitval, signal = exit_and_signal(row)
    started = row.started or 0.0
    return Logged(
        seq=seq,
        host=host(row.agent),
        started=started,
        runtime_s=max((row.ended or started) - started, 0.0),
        send=send,
        receive=row.out_size,
        exitval=exitval,
        signal=signal,
        command=command(row),
        args=args,
        out=row.out,
        err=row.err,
    )
