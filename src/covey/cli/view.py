"""What the ledger knows of a job, as every command shows it. Starts nothing, asks nobody."""

import time
from collections.abc import Iterator
from typing import Any

from covey.cli.commandline import command_line
from covey.cli.head import way_up
from covey.cli.output import text_or_base64
from covey.cli.placed import placement_value
from covey.cli.select import Selector, pick
from covey.client.reach import view_of
from covey.errors import UsageError
from covey.model.job import FINAL_STATES
from covey.model.task import OutcomeState
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.scheduler.view import LedgerView
from covey.settings import Settings

#: Shown for a job that has not ended and that nobody runs: `covey resume` goes on with it.
INTERRUPTED = "interrupted"


def ledger_of(settings: Settings) -> LedgerView:
    """The ledger of the cluster together with those of private runs."""
    return view_of(settings)


def one_job(view: LedgerView, selector: Selector, what: str) -> JobRow:
    """The single job that the selector names.

    Raises:
        JobNotFound: it names none.
        UsageError: it names several.
    """
    if selector.single is not None:
        return view.job(selector.single)
    chosen = pick(selector, [row.job for row in view.jobs()])
    if len(chosen) != 1:
        raise UsageError(f"{what} takes one job; {selector.text} names {len(chosen)}")
    return view.job(chosen[0])


def has_ended(row: JobRow) -> bool:
    """Whether the job is in a final state."""
    return row.state in FINAL_STATES


def state_of(row: JobRow) -> str:
    """The state as people see it."""
    return row.state if has_ended(row) or row.is_live else INTERRUPTED


def way_on(settings: Settings, row: JobRow) -> str:
    """What to type to go on with an interrupted job."""
    return way_up(settings) if row.run is None else f"covey resume {row.job}"


def command_of(row: JobRow) -> bytes:
    """The command line that began the job, else the name of its function; b"" when unknown."""
    return command_line(row.spec.client)


def elapsed_s(row: JobRow) -> float | None:
    """From its start to its end, or to now; None for one that was interrupted, who knows when."""
    if row.ended is None and not row.is_live:
        return None
    return max(0.0, (time.time() if row.ended is None else row.ended) - row.created)


def job_value(row: JobRow) -> dict[str, Any]:
    """A job as JSON shows it."""
    span_s = elapsed_s(row)
    return {
        "job": row.job,
        "name": row.name,
        "state": state_of(row),
        "reason": row.reason,
        "private": row.run is not None,
        "user": row.spec.user,
        **placement_value(row.spec),
        "command": text_or_base64(command_of(row)),
        "total": row.total,
        "held": row.held,
        "done": row.done,
        "succeeded": row.succeeded,
        "failed": row.failed,
        "cancelled": row.cancelled,
        "started_at": row.created,
        "ended_at": row.ended,
        "elapsed_s": None if span_s is None else round(span_s, 3),
    }


def outcome_word(state: OutcomeState) -> str:
    """`timed out` for TIMED_OUT."""
    return state.name.lower().replace("_", " ")


def is_failure(row: OutcomeRow) -> bool:
    """Whether the task ended other than well, and not because somebody cancelled it."""
    return row.state not in (OutcomeState.SUCCEEDED, OutcomeState.CANCELLED)


def task_value(row: OutcomeRow) -> dict[str, Any]:
    """How a task ended, as JSON shows it."""
    return {
        "task": row.task,
        "attempt": row.attempt,
        "state": outcome_word(row.state),
        "machine": row.agent,
        "exit": row.exit,
        "signal": row.signal,
    }


def times_value(row: OutcomeRow) -> dict[str, Any]:
    """When a task ran, as JSON shows it."""
    return {
        "started_at": row.started,
        "ended_at": row.ended,
        "elapsed_s": None if task_s(row) is None else round(task_s(row) or 0.0, 6),
    }


def task_s(row: OutcomeRow) -> float | None:
    """Run time of a task; None when it did not run."""
    if row.started is None or row.ended is None:
        return None
    return max(0.0, row.ended - row.started)


def ended_how(row: OutcomeRow) -> str:
    """`exit 2`, `SIGKILL`, `timed out`, `ValueError: …`: why a task did not succeed."""
    if row.error is not None:
        return f"{row.error[0]}: {row.error[1]}" if row.error[1] else row.error[0]
    if row.state is not OutcomeState.FAILED:
        return outcome_word(row.state)
    if row.signal:
        import signal

        known = {int(number): number.name for number in signal.Signals}
        return known.get(row.signal, f"signal {row.signal}")
    return f"exit {row.exit}"


def pages(
    view: LedgerView, job: int, after_seq: int = 0, *, with_output: bool = True
) -> Iterator[OutcomeRow]:
    """Outcomes of a job in the order of recording, as far as they are there now."""
    while rows := view.outcomes(job, after_seq, with_output=with_output):
        yield from rows
        after_seq = rows[-1].seq
