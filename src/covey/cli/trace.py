"""`covey trace`: where the time of each task of a job went."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from covey.cli.call import Call, command
from covey.cli.duration import duration
from covey.cli.offer import job_numbers
from covey.cli.output import Column, counted, note, print_json, print_table, say
from covey.cli.select import parse_selector
from covey.cli.trace_export import Traced, cdf_rows, perfetto
from covey.cli.view import ledger_of, one_job, pages
from covey.cli.writing import check_writable
from covey.client.sparrow.stats import PERCENTILES, Spread, rounded
from covey.errors import UsageError
from covey.model.phases import (
    PARTS,
    SPARROW_EVENTS,
    STEPS,
    Offset,
    Phases,
    aligned,
    part_s,
)
from covey.scheduler.view import LedgerView

#: What each part of a task's time is.
_MEANING = {
    "reserve": "until a reservation, or the task, was in a queue",
    "queue": "in the queue of an agent",
    "get task": "claimed until granted",
    "launch": "granted until put into a slot",
    "service": "running",
    "record": "ended until its outcome was taken",
    "wait": "arrived until started",
    "response": "arrived until recorded",
}


@dataclass(slots=True)
class Trace:
    """The tasks of a job by one clock."""

    name: str
    tasks: list[Traced]
    #: False: only what every ledger has.
    is_traced: bool
    offsets: dict[str, Offset] = field(default_factory=dict[str, Offset])

    def parts(self) -> dict[str, list[float]]:
        """Seconds of each part that was measured, a value per task."""
        found: dict[str, list[float]] = {}
        for part in PARTS:
            values = [one for task in self.tasks if (one := part_s(task.phases, part)) is not None]
            if values:
                found[part] = values
        return found

    def steps(self) -> dict[str, list[float]]:
        """Seconds from a task's arrival to each step that is known."""
        found: dict[str, list[float]] = {}
        for step in STEPS:
            times = [(getattr(task.phases, step), task.phases.arrived) for task in self.tasks]
            values = [at - arrived for at, arrived in times if at and arrived]
            if values:
                found[step] = values
        return found


@command(
    "trace",
    examples="""
covey trace last
covey trace 7 --perfetto trace.json
covey trace 7 --csv cdf.csv
covey sparrow BATCH 20 10 0.1 --phases p.jsonl; covey trace p.jsonl
""",
)
@click.argument("job", metavar="JOB|FILE", shell_complete=job_numbers)
@click.option(
    "--perfetto",
    "perfetto_file",
    type=Path,
    metavar="FILE",
    help="Write a trace for ui.perfetto.dev.",
)
@click.option("--csv", "csv_file", type=Path, metavar="FILE", help="Write the CDF of each part.")
@click.option("--policy", metavar="NAME", help="Of a file of several policies: this one.")
def trace(
    call: Call, job: str, perfetto_file: Path | None, csv_file: Path | None, policy: str | None
) -> None:
    """Show where the time of each task went, from its arrival to its record.

    JOB is a number or `last`; FILE is what `covey sparrow --phases` wrote. Times of all steps
    are kept for jobs that were begun with `covey map --trace`; of others, the ledger has when
    their tasks started and ended. Each part is measured by one clock where it lies on one
    machine; where it does not, the clocks are brought together by the quickest messages
    between them.
    """
    check_writable("--perfetto", perfetto_file)
    check_writable("--csv", csv_file)
    found = _of_file(Path(job), policy) if _is_file(job) else _of_job(call, job)
    if perfetto_file is not None:
        perfetto_file.write_text(json.dumps(perfetto(found.tasks, found.name)))
    if csv_file is not None:
        csv_file.write_text(cdf_rows(found.parts()))
    if call.as_json:
        print_json(_value(found))
    else:
        _say(found)


def _is_file(word: str) -> bool:
    return not word.isdigit() and Path(word).is_file()


def _of_job(call: Call, word: str) -> Trace:
    view = ledger_of(call.settings())
    row = one_job(view, parse_selector(word), "trace")
    rows = view.phases(row.job)
    ended = {one.task: one for one in pages(view, row.job, with_output=False)}
    if not rows:
        return Trace(f"job {row.job}", _of_outcomes(view, row.job, row.created), is_traced=False)
    tasks, offsets = aligned([phases for _, phases in rows])
    traced: list[Traced] = []
    for (task, before), phases in zip(rows, tasks, strict=True):
        outcome = ended.get(task)
        if outcome is not None and outcome.started and outcome.ended and before.started:
            # What the child measured itself is nearer, and of each task of a chunk.
            ahead_s = before.started - phases.started
            phases.started, phases.ended = outcome.started - ahead_s, outcome.ended - ahead_s
        traced.append(Traced(task, phases, outcome.slot or 0 if outcome else 0))
    return Trace(f"job {row.job}", traced, is_traced=True, offsets=offsets)


def _of_outcomes(view: LedgerView, job: int, created: float) -> list[Traced]:
    tasks: list[Traced] = []
    for row in pages(view, job, with_output=False):
        if row.started and row.ended:
            phases = Phases(created, started=row.started, ended=row.ended, agent=row.agent)
            tasks.append(Traced(row.task, phases, row.slot or 0))
    return tasks


def _of_file(path: Path, policy: str | None) -> Trace:
    rows: list[tuple[str, int, Phases]] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            plain: dict[str, Any] = json.loads(line)
            steps = {step: float(plain[step]) for step in STEPS}
            phases = Phases(**steps, agent=str(plain["agent"]))
            rows.append((str(plain["policy"]), int(plain["task"]), phases))
        except (ValueError, KeyError, TypeError):
            raise UsageError(
                f"{path}, line {number} is no task: covey sparrow --phases writes such files"
            ) from None
    policies = list(dict.fromkeys(name for name, _, _ in rows))
    chosen = policy.upper() if policy else policies[0] if policies else ""
    if chosen not in policies:
        raise UsageError(f"{path} has no tasks of {chosen or 'any policy'}: {', '.join(policies)}")
    if len(policies) > 1 and not policy:
        note(f"{path} has {', '.join(policies)}: this is {chosen}; choose with --policy")
    mine = [(task, phases) for name, task, phases in rows if name == chosen]
    tasks, offsets = aligned([phases for _, phases in mine])
    traced = [Traced(at, one) for at, one in enumerate(tasks, 1)]
    return Trace(f"{path.name}, {chosen}", traced, is_traced=True, offsets=offsets)


# -------------------------------------------------------------------- out


def _say(found: Trace) -> None:
    say(f"{found.name}: {counted(len(found.tasks), 'task')}")
    if not found.tasks:
        say("no task of it has run")
        return
    say()
    columns = [Column("PART"), *(Column(f"P{rank}", right=True) for rank in PERCENTILES)]
    rows = [[part, *_percentiles(values), _MEANING[part]] for part, values in found.parts().items()]
    print_table([*columns, Column("")], rows)
    say()
    columns[0] = Column("SINCE ITS ARRIVAL")
    rows = [
        [step, *_percentiles(values), SPARROW_EVENTS[step]]
        for step, values in found.steps().items()
    ]
    print_table([*columns, Column("SPARROW'S EVENT")], rows)
    say()
    if not found.is_traced:
        say("only what every job keeps; for all steps begin the job with: covey map --trace")
    for line in _clock_lines(found.offsets):
        say(line)


def _percentiles(values: list[float]) -> list[str]:
    spread = Spread.of(values)
    return [duration(value) for value in (spread.p50_s, spread.p95_s, spread.p99_s)]


def _clock_lines(offsets: dict[str, Offset]) -> list[str]:
    lines: list[str] = []
    for agent, offset in sorted(offsets.items()):
        if offset.ahead_s:
            way = "ahead" if offset.ahead_s > 0 else "behind"
            lines.append(
                f"the clock of {agent} is {duration(abs(offset.ahead_s))} {way}"
                f" (± {duration(offset.error_s)}); its times are shown less that"
            )
    return lines


def _value(found: Trace) -> dict[str, Any]:
    def spread(values: list[float]) -> dict[str, Any]:
        one = Spread.of(values)
        return {"tasks": len(values), **one.fields(""), "mean_s": rounded(one.mean_s)}

    return {
        "name": found.name,
        "tasks": len(found.tasks),
        "is_traced": found.is_traced,
        "parts": {part: spread(values) for part, values in found.parts().items()},
        "steps": {
            step: {"sparrow_event": SPARROW_EVENTS[step], **spread(values)}
            for step, values in found.steps().items()
        },
        "clocks": {
            agent: {
                "ahead_s": rounded(offset.ahead_s),
                "error_s": rounded(offset.error_s) if offset.error_s < float("inf") else None,
            }
            for agent, offset in sorted(found.offsets.items())
        },
    }
