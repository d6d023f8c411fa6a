"""`covey explain`: why a job, or one task of it, has not ended."""

from typing import Any, cast

import click

from covey.cli.call import Call, command
from covey.cli.head import head_of, is_up
from covey.cli.offer import job_numbers
from covey.cli.output import counted, print_json, printable, say
from covey.cli.placed import placement_of
from covey.cli.select import parse_target
from covey.cli.view import (
    LedgerView,
    ended_how,
    has_ended,
    is_failure,
    ledger_of,
    one_job,
    state_of,
    way_on,
)
from covey.errors import JobNotFound, UsageError
from covey.scheduler.rows import JobRow
from covey.settings import Settings


@command("explain", examples="covey explain last\ncovey explain 3.17\ncovey explain 3 --json")
@click.argument("target", metavar="JOB[.TASK]", shell_complete=job_numbers)
def explain(call: Call, target: str) -> None:
    """Say why a job, or one task of it, has not ended: what it waits for, or where it runs.

    JOB is a number or `last`. Asks the head; of a job that has ended, the ledger.
    """
    settings = call.settings()
    view = ledger_of(settings)
    selector, tasks = parse_target(target)
    row = one_job(view, selector, "explain")
    task = 0
    if tasks is not None:
        if tasks.single is None:
            raise UsageError(f"explain takes one task; {target} names several")
        task = tasks.single
        if task > row.held:
            raise JobNotFound(f"job {row.job} has no task {task} — it has {row.held}", job=row.job)
    answer = _answer(settings, view, row, task)
    if call.as_json:
        value = {"job": row.job, "task": task or None, "state": state_of(row)}
        print_json({"cluster": settings.cluster, **value, **answer})
        return
    if task:
        say(f"{row.job}.{task}  {printable(str(answer['why']))}")
        return
    say(f"job {row.job}  {state_of(row)}  {printable(placement_of(row.spec))}")
    if answer["why"]:
        say(printable(str(answer["why"])))
    if answer["running"]:
        say(f"{counted(int(answer['running']), 'task')} granted: covey attach {row.job}")
    for one in cast("list[dict[str, Any]]", answer["waiting"]):
        tasks_text = counted(int(one["tasks"]), "task")
        say(f"{tasks_text} from {row.job}.{one['first']}: {printable(str(one['why']))}")


def _answer(settings: Settings, view: LedgerView, row: JobRow, task: int) -> dict[str, Any]:
    if task and (found := view.outcomes_of(row.job, [task])):
        outcome = found[0]
        how = ended_how(outcome) if is_failure(outcome) else outcome.state.name.lower()
        where = f" on {outcome.agent}" if outcome.agent else ""
        return _told(f"has ended: {how}{where}, attempt {outcome.attempt}")
    if has_ended(row):
        return _told(f"has ended{f': {row.reason}' if row.reason else ''}")
    if not row.is_live or (row.run is None and not is_up(settings)):
        return _told(f"nobody runs it: go on with {way_on(settings, row)}")
    if row.run is not None:
        return _told("is private to its covey map, which says what it waits for, if not for a slot")
    with head_of(settings) as head:
        return head.ask("explain", job=row.job, task=task)


def _told(why: str) -> dict[str, Any]:
    return {"running": 0, "waiting": [], "why": why}
