"""Traces for other programs."""

from typing import Any

from covey.cli.trace_export import Traced, cdf_rows, perfetto
from covey.model.phases import Phases


def a_task(number: int, started: float, ended: float, agent: str = "lab1", slot: int = 0) -> Traced:
    phases = Phases(
        arrived=10.0,
        reserved=10.0,
        queued=10.1,
        claimed=started - 0.002,
        granted=started - 0.001,
        received=started,
        started=started,
        ended=ended,
        recorded=ended + 0.001,
        agent=agent,
    )
    return Traced(number, phases, slot)


def slices(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in value["traceEvents"] if event["ph"] == "X"]


def test_a_task_is_a_slice_on_the_track_of_its_slot():
    value = perfetto([a_task(1, 11.0, 12.0, slot=3)], "job 7")
    (one,) = slices(value)
    assert (one["name"], one["tid"], one["ts"], one["dur"]) == ("task 1", 3, 1e6, 1e6)
    assert one["args"]["started"] == 1.0
    names = [e["args"]["name"] for e in value["traceEvents"] if e["ph"] == "M"]
    assert names == ["scheduler", "lab1", "slot 3"]


def test_tasks_whose_slot_is_unknown_never_overlap_on_a_track():
    tasks = [a_task(1, 11.0, 12.0), a_task(2, 11.5, 13.0), a_task(3, 12.0, 14.0)]
    assert [one["tid"] for one in slices(perfetto(tasks, "x"))] == [1, 2, 1]


def test_each_span_that_begins_ends_and_machines_are_apart():
    value = perfetto([a_task(1, 11.0, 12.0), a_task(2, 11.0, 12.0, "lab2")], "x")
    begun = [e for e in value["traceEvents"] if e["ph"] == "b"]
    ended = [e for e in value["traceEvents"] if e["ph"] == "e"]
    assert len(begun) == len(ended) == 6
    for one, other in zip(begun, ended, strict=True):
        assert (one["id"], one["pid"], one["name"]) == (other["id"], other["pid"], other["name"])
        assert one["ts"] <= other["ts"]
    assert len({one["pid"] for one in slices(value)}) == 2


def test_a_task_that_only_the_ledger_knows_is_a_slice_as_well():
    phases = Phases(arrived=1.0, started=2.0, ended=3.0, agent="a")
    value = perfetto([Traced(1, phases, 1)], "x")
    assert len(slices(value)) == 1
    assert [event["ph"] for event in value["traceEvents"]].count("b") == 0


def test_an_empty_trace_is_a_trace():
    assert perfetto([], "x")["traceEvents"][0]["args"] == {"name": "scheduler"}


def test_cdfs_are_lines_of_part_fraction_seconds():
    lines = cdf_rows({"queue": [0.2, 0.1]}).splitlines()
    assert lines[0] == "part,fraction,seconds"
    assert lines[1:] == ["queue,0.500000,0.100000000", "queue,1.000000,0.200000000"]
