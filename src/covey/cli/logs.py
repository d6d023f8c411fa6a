"""`covey logs` and `covey joblog`: what tasks wrote, and a line for each."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from covey.cli.call import Call, command
from covey.cli.commandline import Commands, TaskText
from covey.cli.follow import OutputPrinter, follow, live_output, stderr_of
from covey.cli.map.joblog import HEADER, joblog_line
from covey.cli.map.rows import Logged, logged
from covey.cli.offer import job_numbers
from covey.cli.output import print_json_rows, text_or_base64
from covey.cli.select import Selector, parse_selector, parse_target
from covey.cli.view import (
    LedgerView,
    is_failure,
    ledger_of,
    one_job,
    pages,
    task_value,
    times_value,
)
from covey.errors import JobNotFound, UsageError
from covey.model.task import OutcomeState
from covey.scheduler.rows import JobRow, OutcomeRow

#: The agent of a private run (`client.private.AGENT`, which is not imported for its name alone).
AGENT_HERE = "here"
#: A selector of tasks that names more than this reads the job from its beginning instead.
TASKS_BY_NUMBER_MAX = 1000


@command(
    "logs",
    examples="""
covey logs last
covey logs 3.17
covey logs 3 --failed --tag
covey logs -f last
""",
)
@click.argument("target", metavar="JOB[.TASK]", shell_complete=job_numbers)
@click.option("-f", "--follow", "follow_on", is_flag=True, help="Go on until the job has ended.")
@click.option("--failed", is_flag=True, help="Only tasks that did not succeed.")
@click.option("--tag", is_flag=True, help="Begin each line with JOB.TASK and a tab.")
def logs(call: Call, target: str, *, follow_on: bool, failed: bool, tag: bool) -> None:
    """Print what the tasks of a job wrote: stdout to stdout, stderr to stderr, task by task.

    JOB is a number or `last`; TASK a number, a range or a list (3.17, 3.1-9, last.2,5). Of a whole
    job, tasks come in the order in which they ended. Works when nothing is up; `-f` on a running
    job shows what its tasks write as they write it. With --json and -f: JSON Lines.
    """
    job, tasks = parse_target(target)
    settings = call.settings()
    view = ledger_of(settings)
    row = one_job(view, job, "logs")
    if tasks is not None:
        _must_have(row, tasks)
    if follow_on:
        printer = OutputPrinter(as_json=call.as_json, tag=tag, only_failed=failed)
        with live_output(settings, row, tasks) as live:
            follow(settings, view, row, printer, tasks=tasks, live=live)
        return
    rows = (r for r in _rows(view, row, tasks) if not failed or is_failure(r))
    if call.as_json:
        values = map(_logged_value, rows)
        print_json_rows({"cluster": settings.cluster, "job": row.job}, "tasks", values)
        return
    printer = OutputPrinter(tag=tag)
    for outcome in rows:
        printer.outcome(outcome)


def _must_have(row: JobRow, tasks: Selector) -> None:
    """Refuses tasks that the job does not have."""
    if tasks.keyword == "last":
        raise UsageError(
            f"{row.job}.last: name tasks by number — the last one is {row.job}.{row.held}"
        )
    beyond = [numbers[0] for numbers in tasks.ranges if numbers[0] > row.held]
    if beyond and row.total is not None:
        raise JobNotFound(f"job {row.job} has no task {beyond[0]} — it has {row.held}", job=row.job)


def _rows(view: LedgerView, row: JobRow, tasks: Selector | None) -> Iterator[OutcomeRow]:
    if tasks is None or tasks.keyword == "all":
        yield from pages(view, row.job)
        return
    if sum(len(numbers) for numbers in tasks.ranges) > TASKS_BY_NUMBER_MAX:
        yield from (r for r in pages(view, row.job) if r.task in tasks)
        return
    found = view.outcomes_of(row.job, sorted({n for numbers in tasks.ranges for n in numbers}))
    if not found:
        raise JobNotFound(
            f"{row.job}.{tasks.text} has not ended — follow it with: covey logs -f"
            f" {row.job}.{tasks.text}",
            job=row.job,
        )
    yield from found


def _logged_value(row: OutcomeRow) -> dict[str, Any]:
    return {
        **task_value(row),
        "stdout": text_or_base64(row.out),
        "stderr": text_or_base64(stderr_of(row)),
        "stdout_bytes": row.out_size,
        "stderr_bytes": row.err_size,
    }


@command("joblog", examples="covey joblog last\ncovey joblog 3 > 3.joblog\ncovey joblog 3 --json")
@click.argument("job", shell_complete=job_numbers)
def joblog(call: Call, job: str) -> None:
    """Print a line per task, in the columns of GNU parallel's --joblog.

    Seq, Host, Starttime, JobRuntime, Send, Receive, Exitval, Signal and Command, with tabs between
    them, in the order in which the tasks were recorded. `covey map --resume --joblog FILE` reads
    it.
    """
    settings = call.settings()
    view = ledger_of(settings)
    row = one_job(view, parse_selector(job), "joblog")
    rows = pages(view, row.job, with_output=False)
    name = Commands(row.spec.client)
    if call.as_json:
        values = (_ran_value(r, name(r)) for r in rows)
        print_json_rows({"cluster": settings.cluster, "job": row.job}, "tasks", values)
        return
    sys.stdout.buffer.write(HEADER)
    for outcome in rows:
        # As in the joblog of covey map: what did not run, or was stopped, is not done.
        if outcome.started is not None and outcome.state is not OutcomeState.CANCELLED:
            sys.stdout.buffer.write(joblog_line(_logged(outcome, name(outcome))))


def _logged(row: OutcomeRow, named: TaskText) -> Logged:
    return logged(
        row,
        seq=named.seq,
        args=named.args,
        command=lambda _: named.command,
        host=_host_in_joblog,
    )


def _host_in_joblog(agent: str) -> str:
    """`:` is this machine, as GNU parallel writes it; also for a task that nobody had."""
    return ":" if agent in ("", AGENT_HERE) else agent


def _ran_value(row: OutcomeRow, named: TaskText) -> dict[str, Any]:
    return {
        **task_value(row),
        **times_value(row),
        "received_bytes": row.out_size,
        "command": text_or_base64(named.command),
    }
