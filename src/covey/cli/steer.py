"""`attach`, `cancel`, `resume`, `prune`: what is done to jobs after they were begun."""

import time
from collections.abc import Sequence

import click

from covey.cli.call import Call, command
from covey.cli.duration import duration, parse_duration
from covey.cli.follow import OutputPrinter, follow, live_output
from covey.cli.head import head_of, not_up
from covey.cli.main import INTERRUPTED as CTRL_C
from covey.cli.offer import job_numbers
from covey.cli.output import counted, note, print_json, say, size
from covey.cli.select import Selector, matching, parse_selector, parse_target, pick
from covey.cli.view import (
    INTERRUPTED,
    LedgerView,
    elapsed_s,
    has_ended,
    job_value,
    ledger_of,
    one_job,
    state_of,
)
from covey.errors import JobNotFound, JobRejected, UsageError
from covey.model.job import JobState
from covey.scheduler.rows import JobRow
from covey.settings import Settings

#: Exit code for more failed items than 100 (GNU parallel's).
_FAILED_MAX = 101
#: An order to cancel is recorded within a moment; its state is waited for this long at most.
_RECORDED_MAX_S = 10.0
#: A private run whose client was killed ends what it runs, with a second of grace, before another
#: can go on with it: waited for this long.
_ENDING_MAX_S = 3.0
_LOOK_S = 0.02


@command("attach", examples="covey attach 3\ncovey attach last --all")
@click.argument("job", shell_complete=job_numbers)
@click.option("--all", "from_start", is_flag=True, help="Also what tasks wrote that ended before.")
def attach(call: Call, job: str, *, from_start: bool) -> int:
    """Follow a running JOB until it ends: what its tasks write, then the summary.

    Ctrl-C leaves the job running. Ends with the exit code of `covey map`: 0, 1-100 = failed items,
    101 = more than 100.
    """
    settings = call.settings()
    view = ledger_of(settings)
    row = one_job(view, parse_selector(job), "attach")
    return _attach(call, settings, view, row, from_start=from_start)


def _attach(
    call: Call, settings: Settings, view: LedgerView, row: JobRow, *, from_start: bool
) -> int:
    of = "" if row.total is None else f" of {row.total:,}"
    printer = OutputPrinter(silent=call.as_json)
    try:
        if not has_ended(row) and not call.as_json:
            note(f"job {row.job} {state_of(row)}: {row.done:,}{of} done; Ctrl-C leaves it as it is")
        after_seq = 0 if from_start else _last_seq(view, row)
        with live_output(settings, row, None) as live:
            row = follow(settings, view, row, printer, live=live, after_seq=after_seq)
    except KeyboardInterrupt:
        note(f"\njob {row.job} goes on: covey attach {row.job}   covey cancel {row.job}")
        return CTRL_C
    if call.as_json:
        print_json({"cluster": settings.cluster, **job_value(row)})
    elif has_ended(row):
        note(
            f"job {row.job} {state_of(row)}: {row.succeeded:,} succeeded, {row.failed:,} failed"
            f" in {duration(elapsed_s(row))}"
        )
    return exit_code(row)


def exit_code(row: JobRow) -> int:
    """`covey map`'s exit code for a job: the number of failed items, 101 = more than 100."""
    if row.failed:
        return min(row.failed, _FAILED_MAX)
    return 0 if state_of(row) == "succeeded" else 1


def _last_seq(view: LedgerView, row: JobRow) -> int:
    """Where the job's outcomes end now."""
    seq = 0
    while rows := view.outcomes(row.job, seq, with_output=False):
        seq = rows[-1].seq
    return seq


@command(
    "cancel",
    examples="""
covey cancel 3
covey cancel 3.17 3.20-29
covey cancel all
covey cancel --name 'nightly-*'
""",
)
@click.argument("targets", nargs=-1, metavar="[JOB[.TASK]]...", shell_complete=job_numbers)
@click.option("--name", "pattern", metavar="GLOB", help="Jobs whose name fits, e.g. 'night*'.")
def cancel(call: Call, targets: Sequence[str], pattern: str | None) -> None:
    """Stop jobs, or single tasks of a job.

    What waits ends cancelled at once; what runs is stopped with all its processes, and a task that
    succeeds before it is stopped stays a success. JOB is a number, a range, a list, `last` or
    `all`. A job that has ended is left as it is.
    """
    if not targets and pattern is None:
        raise UsageError("say which job — for example: covey cancel last")
    settings = call.settings()
    view = ledger_of(settings)
    wanted = _wanted(view.jobs(), targets, pattern)
    done: list[dict[str, object]] = []
    for row, tasks in wanted:
        state = state_of(row) if has_ended(row) else _cancel(settings, row, tasks)
        done.append({"job": row.job, "tasks": tasks, "state": state})
        if not call.as_json:
            _say_cancelled(row, tasks, state)
    if call.as_json:
        print_json({"cluster": settings.cluster, "cancelled": done})
    elif not done:
        say("no job to cancel")


def _wanted(
    rows: list[JobRow], targets: Sequence[str], pattern: str | None
) -> list[tuple[JobRow, list[int]]]:
    """Jobs, each with the tasks to cancel ([] = all of it); `all` and patterns mean open jobs."""
    by_number = {row.job: row for row in rows}
    open_jobs = [row.job for row in rows if not has_ended(row)]
    found: dict[int, list[int]] = {}
    for text in targets:
        jobs, tasks = parse_target(text)
        numbers = open_jobs if jobs.keyword == "all" else pick(jobs, list(by_number))
        for number in numbers:
            ids = [] if tasks is None else _task_numbers(by_number[number], tasks)
            whole = tasks is None or not found.get(number, [0])
            found[number] = [] if whole else sorted({*found.get(number, []), *ids})
    if pattern is not None:
        names = ((number, by_number[number].name) for number in open_jobs)
        found |= {number: [] for number in matching(pattern, names)}
    return [(by_number[number], tasks) for number, tasks in sorted(found.items())]


def _task_numbers(row: JobRow, tasks: Selector) -> list[int]:
    """The tasks of the job that the selector names.

    Raises:
        JobNotFound: there is no such task.
    """
    chosen = [n for numbers in tasks.ranges for n in numbers[: row.held] if n <= row.held]
    if tasks.keyword == "all":
        return list(range(1, row.held + 1))
    if not chosen:
        raise JobNotFound(
            f"job {row.job} has no task {tasks.text} — it has {row.held}", job=row.job
        )
    return chosen


def _cancel(settings: Settings, row: JobRow, tasks: list[int]) -> str:
    """Orders it from whoever runs the job; the state that the job is in then."""
    if row.run is not None:
        if tasks:
            raise JobRejected(
                f"job {row.job} is private to its covey map: cancel all of it, or nothing",
                job=row.job,
            )
        from covey.client.private_cancel import cancel_run

        return cancel_run(settings, row)
    with head_of(settings) as head:
        head.ask("cancel", job=row.job, tasks=tasks)
    view = ledger_of(settings)
    until = time.monotonic() + _RECORDED_MAX_S
    while not tasks and time.monotonic() < until and view.job(row.job).state == JobState.RUNNING:
        time.sleep(_LOOK_S)
    return state_of(view.job(row.job))


def _say_cancelled(row: JobRow, tasks: list[int], state: str) -> None:
    if has_ended(row):
        say(f"job {row.job} had ended already ({state})")
    elif tasks:
        say(f"job {row.job}: {counted(len(tasks), 'task')} cancelled")
    else:
        say(f"job {row.job} {state}")


@command("resume", examples="covey resume 3\ncovey resume last")
@click.argument("job", shell_complete=job_numbers)
def resume(call: Call, job: str) -> int:
    """Go on with an interrupted JOB: only tasks that have no outcome yet are run.

    A job is interrupted when the covey that ran it was killed, or its machine went down. Ends with
    the exit code of `covey map`. To run failed items again: covey map --resume-failed --joblog.
    """
    settings = call.settings()
    view = ledger_of(settings)
    row = _at_rest(view, one_job(view, parse_selector(job), "resume"))
    if has_ended(row):
        raise JobRejected(
            f"job {row.job} has ended ({row.state}): nothing is left to run", job=row.job
        )
    if state_of(row) != INTERRUPTED:
        raise JobRejected(
            f"job {row.job} runs — follow it with: covey attach {row.job}", job=row.job
        )
    if row.run is None:
        raise not_up(settings)
    from covey.cli.map.command import resume_run

    return resume_run(settings, row.job, as_json=call.as_json)


def _at_rest(view: LedgerView, row: JobRow) -> JobRow:
    """The job when nobody runs it any more, or as it is after a moment."""
    until = time.monotonic() + _ENDING_MAX_S
    while row.run is not None and not has_ended(row) and state_of(row) != INTERRUPTED:
        if time.monotonic() > until:
            break
        time.sleep(_LOOK_S)
        row = view.job(row.job)
    return row


@command("prune", examples="covey prune --older 30d\ncovey prune --older 12h --json")
@click.option("--older", metavar="TIME", required=True, help="Ended longer ago, e.g. 30d or 12h.")
def prune(call: Call, older: str) -> None:
    """Forget jobs that ended longer than TIME ago: their rows and what their tasks wrote.

    Jobs that have not ended are kept, however old.
    """
    from covey.scheduler.pruning import prune as forget

    older_s = parse_duration(older)
    settings = call.settings()
    gone = forget(settings.state_dir, older_s, now=time.time())
    if call.as_json:
        value = {"older_s": older_s, "jobs": gone.jobs, "freed_bytes": gone.size_bytes}
        print_json({"cluster": settings.cluster, **value})
    else:
        say(f"{counted(len(gone.jobs), 'job')} forgotten, {size(gone.size_bytes)} freed")
