"""The last `covey run`, out of the ledger: where it did not succeed, and what it was."""

import os
from typing import cast

from covey.cli.view import has_ended, ledger_of, pages
from covey.client.errands import RUN
from covey.errors import JobNotFound, JobRejected
from covey.model.task import OutcomeState
from covey.scheduler.rows import JobRow
from covey.settings import Settings


def last_failed(settings: Settings) -> tuple[JobRow, list[str]]:
    """The last run, and the machines on which it did not succeed.

    Raises:
        JobNotFound: nothing was run yet.
        JobRejected: it still runs.
    """
    view = ledger_of(settings)
    runs = (row for row in reversed(view.jobs()) if row.spec.client.get("kind") == RUN)
    row = next(runs, None)
    if row is None:
        raise JobNotFound("nothing was run yet — for example: covey run -- uptime")
    if not has_ended(row) and row.is_live:
        raise JobRejected(f"job {row.job} still runs: covey attach {row.job}", job=row.job)
    good = {
        outcome.task
        for outcome in pages(view, row.job, with_output=False)
        if outcome.state is OutcomeState.SUCCEEDED
    }
    machines = cast("list[str]", row.spec.client.get("machines") or [])
    return row, [name for task, name in enumerate(machines, 1) if task not in good]


def words_of(row: JobRow) -> tuple[list[str], list[str] | None]:
    """The words that were behind `covey run` and its options: before the `--`, and behind it."""
    words = [os.fsdecode(word) for word in cast("list[bytes]", row.spec.client.get("words") or [])]
    if "--" not in words:
        return words, None
    at = words.index("--")
    return words[:at], words[at + 1 :]


def project_of(row: JobRow) -> str:
    """Its project; "" = none."""
    return str(row.spec.client.get("project") or "")
