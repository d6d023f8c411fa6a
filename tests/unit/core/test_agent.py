"""What an agent does with what it was granted."""

import pytest
from tests.unit.core.desk import Desk, Room

from covey.core.actions import (
    DropPayloads,
    DropReports,
    FollowTask,
    ForgetJob,
    Send,
    Start,
    Strike,
)
from covey.core.events import Added, Ended, Gauged, Struck
from covey.core.peers import GATHER_MAX, GATHER_S
from covey.core.stopping import CHUNK_STUCK_S
from covey.errors import InvalidTransition
from covey.model.task import OutcomeState
from covey.wire import messages as m


def test_a_granted_task_starts_at_once_in_the_lowest_free_slot() -> None:
    room = Room(slots=2)
    Desk(room).described().grant(7)
    [start] = room.started
    assert (start.slot, start.ids, start.ns, start.term) == (1, [7], [1], 1)


def test_an_outcome_is_told_and_kept_until_it_is_recorded() -> None:
    room = Room()
    desk = Desk(room).described()
    desk.grant(7)
    room.end(1)
    batch = desk.last(m.Finished)
    assert (batch.ids, batch.ns, batch.states, batch.free) == ([7], [1], [1], 2)
    assert room.all(DropPayloads) == [DropPayloads("head", 1, 1, [7])]
    desk.tell(m.Recorded([batch.batch]))
    desk.tell(m.Recorded([batch.batch]))
    assert room.all(DropReports) == [DropReports("head", batch.batch)]


def test_a_grant_without_a_free_slot_queues_and_is_never_dropped() -> None:
    room = Room(slots=1)
    Desk(room).described().grant(1, 2, 3)
    for _ in range(3):
        room.end(1, took_s=1.0)
    assert [start.ids for start in room.started] == [[1], [2], [3]]


def test_an_attempt_that_was_granted_twice_is_started_once() -> None:
    room = Room()
    desk = Desk(room).described()
    desk.grant(1)
    desk.grant(1)
    room.end(1)
    desk.grant(1)
    assert len(room.started) == 1
    desk.grant(1, n=2)
    assert [start.ns for start in room.started] == [[1], [2]]


def test_a_newer_attempt_may_run_beside_an_older_one() -> None:
    room = Room(slots=2)
    desk = Desk(room).described()
    desk.grant(1)
    desk.grant(1, n=2)
    room.end(1)
    room.end(2)
    ns = [n for batch in desk.all(m.Finished) for n in batch.ns]
    assert ns == [1, 2]


def test_a_grant_of_a_shape_that_was_not_described_returns() -> None:
    room = Room()
    desk = Desk(room)
    desk.grant(1)
    assert desk.outcomes() == {1: OutcomeState.RETURNED}


def test_withdrawn_tasks_return_unless_they_were_started() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2, 3)
    desk.tell(m.Withdraw(1, [1, 2]))
    assert desk.outcomes() == {2: OutcomeState.RETURNED}
    desk.tell(m.Withdraw(1))
    assert desk.outcomes() == {2: OutcomeState.RETURNED, 3: OutcomeState.RETURNED}
    assert DropPayloads("head", 1, 1, [3]) in room.all(DropPayloads)


def test_stop_cancels_queued_tasks_at_once_and_kills_running_ones() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2)
    desk.tell(m.Stop(1, 1, [1, 2], [1, 1]))
    assert desk.outcomes() == {2: OutcomeState.CANCELLED}
    assert room.killed() == [(1, [1])]
    room.end(1, state=OutcomeState.CANCELLED)
    assert desk.outcomes()[1] is OutcomeState.CANCELLED


def test_stop_of_an_older_attempt_spares_the_newer_one() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, n=2)
    desk.tell(m.Stop(1, 1, [1], [1]))
    assert room.killed() == []


def test_stop_of_a_whole_job_drops_its_reservations() -> None:
    room = Room(slots=1)
    desk = Desk(room).described().described(job=2)
    desk.grant(1, job=2)
    desk.enqueue()
    desk.tell(m.Stop(1))
    assert room.core.explain()["lines"][0]["job"] == 2
    assert len(room.core.explain()["lines"]) == 1


def test_short_tasks_run_in_chunks_once_their_time_is_known() -> None:
    room = Room(slots=2)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1, took_s=0.0001)
    desk.grant(*range(2, 42))
    assert [len(start.ids) for start in room.started] == [1, 20, 20]


def test_long_tasks_and_tasks_that_may_not_run_one_by_one() -> None:
    room = Room(slots=2)
    desk = Desk(room).described().described(shape=2, may_chunk=False)
    desk.grant(1)
    room.end(1, took_s=0.5)
    desk.grant(*range(2, 12))
    room.end(1, took_s=0.5)
    desk.grant(50, shape=2)
    assert {len(start.ids) for start in room.started} == {1}


def test_parts_of_a_chunk_are_told_as_they_end() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1, took_s=0.0001)
    desk.grant(2, 3, 4)
    room.end(1, parts=2)
    assert sorted(desk.outcomes()) == [1, 2, 3]
    assert room.core.explain()["busy"] == 1
    room.end(1)
    assert sorted(desk.outcomes()) == [1, 2, 3, 4]
    assert room.core.explain()["busy"] == 0


def test_a_dead_child_blames_one_task_and_returns_the_rest() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1, took_s=0.0001)
    desk.grant(2, 3, 4)
    crashed, returned = int(OutcomeState.CRASHED), int(OutcomeState.RETURNED)
    room.handle(Ended(1, [1, crashed, returned], 0.1, is_last=True))
    room.running.clear()
    assert desk.outcomes()[3] is OutcomeState.CRASHED
    assert desk.outcomes()[4] is OutcomeState.RETURNED


def test_a_slot_is_busy_until_the_last_part_even_if_all_tasks_ended() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2)
    room.handle(Ended(1, [int(OutcomeState.CRASHED)], 0.1, is_last=False))
    assert len(room.started) == 1
    room.running.clear()
    room.handle(Ended(1, [], 0.0, is_last=True))
    assert [start.ids for start in room.started] == [[1], [2]]


def test_the_unstarted_rest_of_a_chunk_that_is_stuck_returns() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    room.end(1, took_s=0.0001)
    desk.grant(2, 3, 4)
    room.wait(CHUNK_STUCK_S * 3)
    assert room.all(Strike) == [Strike(1)]
    room.handle(Struck(1, 2))
    assert desk.outcomes() == {
        1: OutcomeState.SUCCEEDED,
        3: OutcomeState.RETURNED,
        4: OutcomeState.RETURNED,
    }
    room.running.clear()
    room.handle(Ended(1, [1, 7, 7], 60.0, is_last=True))
    assert desk.outcomes()[2] is OutcomeState.SUCCEEDED
    assert len(desk.all(m.Finished)[-1].ids) == 1


def test_a_job_runs_at_most_its_limit_at_once() -> None:
    room = Room(slots=4)
    desk = Desk(room).described(limit=2, may_chunk=False)
    desk.grant(*range(1, 6))
    assert len(room.running) == 2
    room.end(1)
    assert len(room.running) == 2


def test_a_time_limit_follows_the_median_after_three_tasks() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(time_limit_medians=2.0, may_chunk=False)
    desk.grant(1, 2, 3, 4)
    for took_s in (1.0, 3.0, 2.0):
        assert room.running[1].time_limit_s == 0.0
        room.end(1, took_s=took_s)
    assert room.running[1].time_limit_s == 4.0


def test_the_smaller_of_both_time_limits_holds() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(time_limit_s=3.0, time_limit_medians=2.0)
    desk.grant(1, 2, 3, 4)
    assert room.running[1].time_limit_s == 3.0
    for _ in range(3):
        room.end(1, took_s=1.0)
    assert room.running[1].time_limit_s == 2.0


def test_nothing_starts_while_a_gate_is_shut() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(load_max=2.0).described(shape=2, memfree_bytes=100)
    room.handle(Gauged(5.0, 60))
    desk.grant(1)
    desk.grant(2, shape=2)
    desk.enqueue(shape=2)
    assert room.started == []
    assert "memory" in room.core.explain()["lines"][1]["why"]
    room.handle(Gauged(1.0, 60))
    assert [start.ids for start in room.started] == [[1]]
    room.end(1)
    room.handle(Gauged(1.0, 100))
    assert [start.ids for start in room.started] == [[1], [2]]


def test_the_youngest_task_goes_back_when_memory_is_very_short() -> None:
    room = Room(slots=2)
    desk = Desk(room).described(memfree_bytes=100)
    desk.grant(1)
    room.now += 1
    desk.grant(2)
    room.handle(Gauged(0.0, 49))
    room.handle(Gauged(0.0, 48))
    assert room.killed() == [(2, [2])]
    room.end(2, state=OutcomeState.CANCELLED)
    assert desk.outcomes() == {2: OutcomeState.RETURNED}


def test_a_task_of_several_slots_takes_all_or_waits() -> None:
    room = Room(slots=3)
    desk = Desk(room).described().described(shape=2, slots=2)
    desk.grant(1, 2)
    desk.grant(3, shape=2)
    assert len(room.running) == 2
    room.end(2)
    assert room.started[-1].ids == [3]
    assert room.core.explain()["busy"] == 3
    room.end(2)
    assert room.core.explain()["busy"] == 1


def test_who_waits_for_several_slots_is_passed_for_one_second_only() -> None:
    room = Room(slots=2)
    desk = Desk(room).described(slots=2).described(job=2)
    desk.grant(90, 91, job=2)
    desk.grant(1)
    room.end(1, took_s=0.5)
    desk.grant(92, job=2)
    assert room.started[-1].ids == [92]
    room.wait(1.1)
    room.end(1, took_s=1.0)
    desk.grant(93, job=2)
    assert room.started[-1].ids == [92]
    room.end(2, took_s=1.0)
    assert room.started[-1].ids == [1]
    room.end(1, took_s=1.0)
    assert room.started[-1].ids == [93]


def test_a_closed_job_is_forgotten_when_its_last_task_ended() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    desk.tell(m.NoTask(1, 0, closed=True))
    assert room.all(ForgetJob) == []
    room.end(1)
    assert room.all(ForgetJob) == [ForgetJob("head", 1)]


def test_followed_output_is_a_matter_of_the_service() -> None:
    room = Room()
    Desk(room).tell(m.Tail(1, 5, True))
    assert room.all(FollowTask) == [FollowTask("head", 1, 5, True)]


def test_the_end_of_a_chunk_that_is_not_known_changes_nothing() -> None:
    room = Room()
    assert room.handle(Ended(1, [1], 0.0, is_last=True)) == []


def test_events_of_schedulers_are_refused() -> None:
    with pytest.raises(InvalidTransition, match="Added"):
        Room().handle(Added(1, 1, 1, 1))


def test_what_starts_comes_before_what_is_said_in_one_event() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2)
    actions = room.core.handle(Ended(1, [1], 1.0, is_last=True), room.now)
    kinds = [type(action) for action in actions]
    assert kinds[0] is Start, "a slot waits, and a message is under way for longer"
    assert {DropPayloads, Send} <= set(kinds[1:])


def test_outcomes_of_one_event_share_batches_of_at_most_256() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(*range(1, 601))
    desk.tell(m.Withdraw(1))
    assert [len(batch.ids) for batch in desk.all(m.Finished)] == [256, 256, 87]


def test_every_frame_goes_to_its_scheduler() -> None:
    room = Room()
    Desk(room, "one").described()
    Desk(room, "two").described()
    room.desks["two"].grant(1)
    room.end(1)
    finished = [send.to for send in room.all(Send) if isinstance(send.frame.message, m.Finished)]
    assert finished == ["two"]


def test_outcomes_of_short_tasks_gather_while_more_of_them_wait_here() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(may_chunk=False)
    desk.grant(*range(1, 6))
    for _ in range(3):
        room.end(1, took_s=0.0005)
    assert desk.all(m.Finished) == []
    room.wait(GATHER_S)
    for _ in range(2):
        room.end(1, took_s=0.0005)
    assert [batch.ids for batch in desk.all(m.Finished)] == [[1, 2, 3], [4], [5]]


def test_failures_and_long_tasks_are_told_at_once() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(may_chunk=False)
    desk.grant(*range(1, 6))
    room.end(1, took_s=0.0005, state=OutcomeState.FAILED)
    room.end(1, took_s=0.5)
    assert [batch.ids for batch in desk.all(m.Finished)] == [[1], [2]]


def test_at_most_so_many_outcomes_gather() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(may_chunk=False)
    desk.grant(*range(1, GATHER_MAX + 40))
    for _ in range(GATHER_MAX):
        room.end(1, took_s=0.0001)
    assert len(desk.last(m.Finished).ids) == GATHER_MAX


def test_a_new_session_tells_of_outcomes_that_gather() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(may_chunk=False)
    desk.grant(1, 2, 3)
    room.end(1, took_s=0.0005)
    desk.hello.opening = 2
    desk.open()
    assert desk.last(m.Welcome).unrecorded == [[1, 1, [1], [1]]]
    assert desk.outcomes() == {1: OutcomeState.SUCCEEDED}


def test_the_payload_stays_while_a_newer_attempt_of_the_task_waits_here() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, n=1)
    desk.grant(1, n=2)
    room.end(1, took_s=0.5)
    assert room.all(DropPayloads) == []
    room.end(1, took_s=0.5)
    assert room.all(DropPayloads) == [DropPayloads("head", 1, 1, [1])]
