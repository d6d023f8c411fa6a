"""Phase times of traced jobs: stamped at agents, completed by the scheduler, kept in the ledger."""

from pathlib import Path

import pytest
from tests.ledgers import a_job, open_ledger, outcomes, record

from covey.core.events import Added, Opened
from covey.model.job import JobSpec, Shape
from covey.model.phases import (
    STEPS,
    Offset,
    Phases,
    aligned,
    offset_of,
    part_s,
    stamped,
    unstamped,
)
from covey.scheduler.folding import fold
from covey.scheduler.ledger import JobStateChanged
from covey.scheduler.pruning import prune
from covey.scheduler.reader import LedgerReader
from covey.scheduler.records import PhaseTimes
from covey.scheduler.runs import runs_dir
from covey.scheduler.tracing import Tracing
from covey.wire.messages import Enqueue, Finished, Grant

STAMPS = (11.0, 12.0, 13.0, 14.0, 15.0)
TRACED = JobSpec(shapes=(Shape(is_traced=True),))


def a_task(agent: str = "lab1", ahead_s: float = 0.0, delay_s: float = 0.001) -> Phases:
    """Queued for 5 s, claimed and granted with `delay_s` each way, run for 2 s."""
    at = 100 + ahead_s
    return Phases(
        arrived=100.0,
        reserved=100.0,
        queued=at + delay_s,
        claimed=at + 5,
        granted=105 + delay_s,
        received=at + 5 + 2 * delay_s,
        started=at + 5 + 2 * delay_s,
        ended=at + 7,
        recorded=107 + delay_s,
        agent=agent,
    )


def test_stamps_stand_before_a_report_and_come_off_again() -> None:
    for report in (b"Vvalue", b"F\x90", b"Rdigest"):
        assert unstamped(stamped(report, STAMPS)) == (report, STAMPS)
        assert unstamped(report) == (report, None)


def test_the_report_of_a_task_that_never_started_stays_empty() -> None:
    assert stamped(b"", STAMPS) == b""
    assert unstamped(b"") == (b"", None)
    assert unstamped(b"Pcut") == (b"Pcut", None)


def test_a_traced_task_is_followed_from_its_arrival_to_its_record() -> None:
    tracing = Tracing()
    tracing.heard(Opened(4, TRACED))
    tracing.heard(Added(4, 1, 1, 2))
    tracing.heard(Added(4, 1, 3, 2))
    tracing.reserved("lab1", Enqueue(4, 1, 2))
    tracing.granted("lab1", Grant(4, 1, 1, [1, 3], [1, 1]))
    batch = Finished(1, 4, 1, [1, 3], [1, 1], [1, 1], 0.1)
    assert tracing.came("lab1", batch, [stamped(b"V1", STAMPS), b"V3"]) == [b"V1", b"V3"]
    (_, first), (_, third) = tracing.take(4, [1, 3])
    assert (first.queued, first.ended, first.agent) == (11.0, 15.0, "lab1")
    assert 0 < first.arrived <= first.reserved <= first.granted <= first.recorded
    assert third.arrived > first.arrived
    assert third.started == 0.0


def test_stamps_of_another_agent_than_the_one_that_was_granted_to_do_not_count() -> None:
    tracing = Tracing()
    tracing.heard(Opened(4, TRACED))
    tracing.granted("lab1", Grant(4, 1, 1, [1], [1]))
    tracing.came("lab2", Finished(1, 4, 1, [1], [1], [1], 0.1), [stamped(b"V", STAMPS)])
    assert tracing.take(4, [1])[0][1].started == 0.0


def test_nothing_is_kept_of_a_job_that_is_not_traced_or_has_ended() -> None:
    tracing = Tracing()
    tracing.heard(Opened(1, JobSpec(shapes=(Shape(),))))
    tracing.heard(Opened(2, TRACED))
    for job in (1, 2):
        tracing.granted("lab1", Grant(job, 1, 1, [1], [1]))
        tracing.reserved("lab1", Enqueue(job, 1, 2))
    tracing.forget(2)
    assert tracing.take(1, [1]) == tracing.take(2, [1]) == []
    assert tracing.jobs == set()


def test_the_parts_of_a_task_add_up_to_its_response() -> None:
    task = a_task()
    parts = ("reserve", "queue", "get task", "launch", "service", "record")
    assert sum(part_s(task, part) or 0.0 for part in parts) == pytest.approx(
        part_s(task, "response")
    )
    assert part_s(task, "queue") == pytest.approx(4.999)
    assert part_s(task, "service") == pytest.approx(1.998)


def test_a_task_that_was_bound_early_queues_until_it_starts() -> None:
    task = Phases(arrived=1.0, queued=2.0, received=2.0, started=5.0, ended=6.0, recorded=7.0)
    assert part_s(task, "queue") == 3.0
    assert part_s(task, "get task") is None
    assert part_s(task, "launch") is None


def test_a_slot_that_asked_before_there_was_a_task_does_not_count_as_waiting() -> None:
    assert part_s(Phases(arrived=10.0, claimed=3.0, received=11.0), "get task") == 1.0


def test_a_clock_that_is_ahead_is_found_by_the_quickest_messages() -> None:
    tasks = [a_task(ahead_s=3600.0, delay_s=delay_s) for delay_s in (0.5, 0.002, 0.04)]
    found = offset_of(tasks)
    assert found.ahead_s == pytest.approx(3600, abs=0.002)
    assert found.error_s <= 0.002
    moved, offsets = aligned([*tasks, a_task("here")])
    assert offsets["lab1"] == found
    assert part_s(moved[1], "wait") == pytest.approx(5.004, abs=0.01)
    assert offsets["here"].ahead_s == 0.0


def test_clocks_that_may_agree_are_taken_to_agree() -> None:
    assert offset_of([a_task(delay_s=0.003)]).ahead_s == 0.0
    assert offset_of([Phases(arrived=1.0)]) == Offset(0.0, float("inf"))


def test_phases_are_kept_folded_and_forgotten_with_their_job(tmp_path: Path) -> None:
    state = tmp_path / "state"
    run = open_ledger(runs_dir(state) / "4" / "ledger.db")
    task = a_task()
    record(run, a_job(4), outcomes([1], job=4), PhaseTimes(4, [(1, Phases(arrived=1.0))]))
    record(run, PhaseTimes(4, [(1, task)]), JobStateChanged(4, "succeeded", "", 2.0))
    run.close()
    fold(state)
    reader = LedgerReader(state / "ledger.db")
    assert reader.phases(4) == [(1, task)]
    assert reader.phases(5) == []
    reader.close()
    prune(state, 0.0, now=10.0)
    reader = LedgerReader(state / "ledger.db")
    assert reader.phases(4) == []
    reader.close()


def test_every_step_has_a_column() -> None:
    assert len(STEPS) == 9
