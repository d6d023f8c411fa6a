"""A trace for other programs: Chrome's trace events (ui.perfetto.dev), and CDFs as CSV. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from covey.client.sparrow.stats import cdf
from covey.model.phases import PARTS, STEPS, Phases, part_s

#: The scheduler's track; agents follow.
_SCHEDULER_PID = 1
#: Parts that are shown below a task, of those that one agent measures.
_WAITS = ("queue", "get task", "launch")


@dataclass(slots=True)
class Traced:
    """One task. slot: of its machine; 0 = not known."""

    task: int
    phases: Phases
    slot: int = 0


def cdf_rows(parts: Mapping[str, Sequence[float]]) -> str:
    """Lines of `part,fraction,seconds`: which part of the tasks took at most so long."""
    lines = ["part,fraction,seconds"]
    for part, values in parts.items():
        lines += [f"{part},{fraction:.6f},{value:.9f}" for value, fraction in cdf(values)]
    return "\n".join(lines) + "\n"


def perfetto(tasks: Sequence[Traced], name: str) -> dict[str, Any]:
    """A trace in Chrome's format: a track per slot, one for what waits, one for the scheduler.

    Times are microseconds from the first step of all.
    """
    first = min((at for task in tasks for at in _times(task)), default=0.0)
    pids: dict[str, int] = {}
    events: list[dict[str, Any]] = [_named("process_name", _SCHEDULER_PID, 0, "scheduler")]
    for task in sorted(tasks, key=lambda one: one.phases.agent):
        agent = task.phases.agent
        if agent not in pids:
            pids[agent] = _SCHEDULER_PID + 1 + len(pids)
            events.append(_named("process_name", pids[agent], 0, agent or "no agent"))
    lanes = _lanes(tasks)
    named: set[tuple[int, int]] = set()
    for task, lane in zip(tasks, lanes, strict=True):
        pid = pids[task.phases.agent]
        if (pid, lane) not in named:
            named.add((pid, lane))
            events.append(_named("thread_name", pid, lane, f"slot {lane}"))
        events += _events_of(task, pid, lane, first)
    return {"traceEvents": events, "displayTimeUnit": "ms", "otherData": {"name": name}}


def _events_of(task: Traced, pid: int, lane: int, first: float) -> list[dict[str, Any]]:
    phases = task.phases
    events: list[dict[str, Any]] = []
    if phases.started and phases.ended:
        took_us = (phases.ended - phases.started) * 1e6
        steps = {
            step: round(getattr(phases, step) - first, 6) for step in STEPS if getattr(phases, step)
        }
        events.append(
            {
                "name": f"task {task.task}",
                "cat": "task",
                "ph": "X",
                "ts": _us(phases.started, first),
                "dur": round(took_us, 3),
                "pid": pid,
                "tid": lane,
                "args": steps,
            }
        )
    for part in _WAITS:
        length_s = part_s(phases, part)
        if length_s is not None and length_s > 0:
            begin = max(getattr(phases, PARTS[part][0]), phases.arrived)
            events += _span(part, task.task, pid, (begin, begin + length_s), first)
    if phases.arrived and phases.recorded:
        times = (phases.arrived, phases.recorded)
        events += _span(f"task {task.task}", task.task, _SCHEDULER_PID, times, first)
    return events


def _span(
    name: str, number: int, pid: int, times: tuple[float, float], first: float
) -> list[dict[str, Any]]:
    """Spans of one track may overlap: they are told apart by an id."""
    common = {"name": name, "cat": "wait", "id": number, "pid": pid, "tid": 0}
    begin, end = times
    return [
        {**common, "ph": "b", "ts": _us(begin, first)},
        {**common, "ph": "e", "ts": _us(end, first)},
    ]


def _named(kind: str, pid: int, tid: int, name: str) -> dict[str, Any]:
    return {"name": kind, "ph": "M", "pid": pid, "tid": tid, "args": {"name": name}}


def _us(at: float, first: float) -> float:
    return round((at - first) * 1e6, 3)


def _times(task: Traced) -> list[float]:
    return [at for step in STEPS if (at := getattr(task.phases, step))]


def _lanes(tasks: Sequence[Traced]) -> list[int]:
    """The slot of each task; where it is not known, the first one that is free at its agent."""
    lanes = [task.slot for task in tasks]
    free_at: dict[str, list[float]] = {}
    unknown = [at for at, task in enumerate(tasks) if not task.slot]
    for at in sorted(unknown, key=lambda at: tasks[at].phases.started):
        phases = tasks[at].phases
        ends = free_at.setdefault(phases.agent, [])
        for lane, end in enumerate(ends):
            if end <= phases.started:
                ends[lane] = phases.ended
                lanes[at] = lane + 1
                break
        else:
            ends.append(phases.ended)
            lanes[at] = len(ends)
    return lanes
