"""`covey jobs` and `covey show`: what ran, how it ended, and what to type next."""

import heapq
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click

from covey.cli.call import Call, command
from covey.cli.commandline import Commands, TaskText
from covey.cli.duration import duration
from covey.cli.offer import job_numbers
from covey.cli.output import (
    Column,
    moment,
    print_json,
    print_table,
    printable,
    say,
    text_or_base64,
)
from covey.cli.placed import placement_of, priority_of
from covey.cli.select import matching, parse_selector, pick
from covey.cli.view import (
    INTERRUPTED,
    LedgerView,
    command_of,
    elapsed_s,
    ended_how,
    has_ended,
    is_failure,
    job_value,
    ledger_of,
    one_job,
    pages,
    state_of,
    task_s,
    task_value,
    times_value,
    way_on,
)
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.settings import Settings

#: `show` names at most this many failed tasks, and as many slow ones.
FAILURES_SHOWN = 5
SLOWEST_SHOWN = 3
#: The last lines of stderr that `show` prints of a failed task.
STDERR_LINES = 5
#: Only this much of a failed task's stderr is looked at for its last lines.
STDERR_TAIL_BYTES = 4096

_COLUMNS = (
    Column("JOB", right=True),
    Column("NAME"),
    Column("STATE"),
    Column("DONE", right=True),
    Column("FAILED", right=True),
    Column("TOTAL", right=True),
    Column("STARTED"),
    Column("TIME", right=True),
    Column("COMMAND"),
)
#: Where USER and PRIO stand: behind the name.
_AT = 2


@command(
    "jobs",
    examples="""
covey jobs
covey jobs last
covey jobs 1-10,15
covey jobs --name 'nightly-*' --json
""",
)
@click.argument("selectors", nargs=-1, metavar="[JOBS]...", shell_complete=job_numbers)
@click.option("--name", "pattern", metavar="GLOB", help="Only jobs whose name fits, e.g. 'night*'.")
def jobs(call: Call, selectors: Sequence[str], pattern: str | None) -> None:
    """List jobs, newest last.

    JOBS is a number, a range (1-10, 1-10:2), a list (3,5-8), `last` or `all`. TOTAL ends with `+`
    while items still come in. A job that nobody runs any more is `interrupted`; `covey resume`
    takes it up again. Reads the ledger only: works when nothing is up.
    """
    settings = call.settings()
    view = ledger_of(settings)
    rows = _chosen(view.jobs(), [parse_selector(text) for text in selectors], pattern)
    if call.as_json:
        print_json({"cluster": settings.cluster, "jobs": [job_value(row) for row in rows]})
    elif rows:
        _print(rows)
    else:
        say("no jobs yet — begin one with: covey map" if pattern is None else "no such jobs")


def _chosen(rows: list[JobRow], selectors: Sequence[Any], pattern: str | None) -> list[JobRow]:
    known = [row.job for row in rows]
    wanted = set(known)
    if selectors:
        wanted = {job for selector in selectors for job in pick(selector, known)}
    if pattern is not None:
        wanted &= set(matching(pattern, ((row.job, row.name) for row in rows)))
    return [row for row in rows if row.job in wanted]


def _print(rows: Sequence[JobRow]) -> None:
    """Users and priorities only where they tell jobs apart."""
    columns, cells = list(_COLUMNS), [_row(row) for row in rows]
    if any(priority_of(row.spec) for row in rows):
        columns.insert(_AT, Column("PRIO", right=True))
        for row, cell in zip(rows, cells, strict=True):
            cell.insert(_AT, str(priority_of(row.spec)))
    if len({row.spec.user for row in rows}) > 1:
        columns.insert(_AT, Column("USER"))
        for row, cell in zip(rows, cells, strict=True):
            cell.insert(_AT, row.spec.user or "-")
    print_table(columns, cells)


def _row(row: JobRow) -> list[str]:
    total = f"{row.held}+" if row.total is None else str(row.total)
    return [
        str(row.job),
        row.name or "-",
        state_of(row),
        str(row.done),
        str(row.failed),
        total,
        moment(row.created),
        duration(elapsed_s(row)),
        printable(command_of(row)),
    ]


@dataclass(slots=True)
class _Digest:
    """What a look at all outcomes of a job tells."""

    ran: int = 0
    ran_s: float = 0.0
    longest_s: float = 0.0
    failed: list[OutcomeRow] = field(default_factory=list[OutcomeRow])
    slowest: list[tuple[float, int, OutcomeRow]] = field(
        default_factory=list[tuple[float, int, OutcomeRow]]
    )
    machines: Counter[str] = field(default_factory=Counter[str])


def _digest(view: LedgerView, job: int) -> _Digest:
    found = _Digest()
    for row in pages(view, job, with_output=False):
        if row.agent:
            found.machines[row.agent] += 1
        if is_failure(row) and len(found.failed) < FAILURES_SHOWN:
            found.failed.append(row)
        ran_s = task_s(row)
        if ran_s is None:
            continue
        found.ran += 1
        found.ran_s += ran_s
        found.longest_s = max(found.longest_s, ran_s)
        if len(found.slowest) < SLOWEST_SHOWN:
            heapq.heappush(found.slowest, (ran_s, -row.task, row))
        elif ran_s > found.slowest[0][0]:
            heapq.heapreplace(found.slowest, (ran_s, -row.task, row))
    return found


@command("show", examples="covey show 3\ncovey show last\ncovey show last --json")
@click.argument("job", shell_complete=job_numbers)
def show(call: Call, job: str) -> None:
    """Show one JOB: its counts and rate, the slowest tasks, and what failed with what it wrote.

    JOB is a number or `last`. Reads the ledger only: works when nothing is up.
    """
    settings = call.settings()
    view = ledger_of(settings)
    row = one_job(view, parse_selector(job), "show")
    digest = _digest(view, row.job)
    failed = view.outcomes_of(row.job, [failure.task for failure in digest.failed])
    events = view.events(row.job)
    name = Commands(row.spec.client)
    if call.as_json:
        value = _shown_value(settings, row, digest, failed, name)
        value["events"] = [{"at": e.at, "kind": e.kind, "text": e.text} for e in events]
        print_json({"cluster": settings.cluster, **value})
        return
    _say_job(row, digest)
    for failure in failed:
        _say_failure(failure, name(failure))
    if row.failed > len(failed):
        say(f"  and {row.failed - len(failed):,} more: covey joblog {row.job}")
    for event in events:
        say(f"{moment(event.at)}  {event.kind}  {printable(event.text)}")
    say("next: " + "   ".join(_next(settings, row, digest)))


def _rate(row: JobRow) -> float | None:
    span_s = elapsed_s(row)
    return round(row.done / span_s, 3) if row.done and span_s else None


def _say_job(row: JobRow, digest: _Digest) -> None:
    name = f"  {printable(row.name)}" if row.name else ""
    reason = f" ({printable(row.reason)})" if row.reason else ""
    say(f"job {row.job}{name}  {state_of(row)}{reason}")
    if text := command_of(row):
        say(f"command   {printable(text)}")
    say(f"placement {printable(placement_of(row.spec))}")
    span_s = elapsed_s(row)
    took = "took" if has_ended(row) else "running for"
    spent = "" if span_s is None else f", {took} {duration(span_s)}"
    say(f"started   {moment(row.created)}{spent}")
    total = f"{row.held:,} so far" if row.total is None else f"{row.total:,}"
    counts = [f"{row.succeeded:,} succeeded", f"{row.failed:,} failed"]
    if row.cancelled:
        counts.append(f"{row.cancelled:,} cancelled")
    rate = _rate(row)
    pace = "" if rate is None else f", {rate:,.1f}/s"
    say(f"tasks     {', '.join(counts)} of {total}{pace}")
    if digest.ran:
        slow = ", ".join(
            f"{row.job}.{-task} {duration(ran_s)}"
            for ran_s, task, _ in sorted(digest.slowest, reverse=True)
        )
        say(f"run time  {duration(digest.ran_s / digest.ran)} on average; slowest {slow}")
    if digest.machines:
        shares = ", ".join(f"{name} {n:,}" for name, n in sorted(digest.machines.items()))
        say(f"machines  {shares}")


def _say_failure(row: OutcomeRow, named: TaskText) -> None:
    item = printable(b" ".join(named.args))
    attempt = f", attempt {row.attempt}" if row.attempt > 1 else ""
    where = f" on {row.agent}" if row.agent else ""
    say(f"  {row.job}.{row.task}  {printable(ended_how(row))}{where}{attempt}  {item}".rstrip())
    for line in _last_lines(row):
        say(f"      {printable(line)}")


def _last_lines(row: OutcomeRow) -> list[bytes]:
    told = row.err
    if not told and row.error is not None:
        told = row.error[2].encode("utf-8", "surrogateescape")
    return told[-STDERR_TAIL_BYTES:].splitlines()[-STDERR_LINES:]


def _next(settings: Settings, row: JobRow, digest: _Digest) -> list[str]:
    """What a person would type now."""
    if state_of(row) == INTERRUPTED:
        return [way_on(settings, row)]
    if not has_ended(row):
        asking = [] if row.run is not None else [f"covey explain {row.job}"]
        return [f"covey attach {row.job}", *asking, f"covey cancel {row.job}"]
    if digest.failed:
        return [f"covey logs {row.job}.{digest.failed[0].task}", f"covey joblog {row.job}"]
    return [f"covey logs {row.job}", f"covey joblog {row.job}"]


def _shown_value(
    settings: Settings,
    row: JobRow,
    digest: _Digest,
    failed: Sequence[OutcomeRow],
    name: Commands,
) -> dict[str, Any]:
    times = None
    if digest.ran:
        times = {
            "mean_s": round(digest.ran_s / digest.ran, 6),
            "max_s": round(digest.longest_s, 6),
        }
    return {
        **job_value(row),
        "rate": _rate(row),
        "task_time": times,
        "slowest": [_task(slow, name(slow)) for _, _, slow in sorted(digest.slowest, reverse=True)],
        "failures": [
            {
                **_task(failure, name(failure)),
                "error": ended_how(failure),
                "stderr_tail": text_or_base64(b"\n".join(_last_lines(failure))),
            }
            for failure in failed
        ],
        "machines": dict(sorted(digest.machines.items())),
        "next": _next(settings, row, digest),
    }


def _task(row: OutcomeRow, named: TaskText) -> dict[str, Any]:
    item = text_or_base64(b" ".join(named.args))
    return {**task_value(row), **times_value(row), "item": item}
