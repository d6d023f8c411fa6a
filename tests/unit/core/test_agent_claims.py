"""When an agent claims, how much, and from whom."""

import pytest
from tests.unit.core.desk import Desk, Room, asked_for, warm

from covey.core.claims import CLAIM_LIMIT_S, CLAIM_MAX
from covey.core.queueing import Fifo
from covey.model.task import OutcomeState
from covey.wire import messages as m


def test_a_reservation_in_front_claims_for_all_free_slots_in_one_message() -> None:
    room = Room(slots=3)
    desk = Desk(room).described()
    desk.enqueue()
    assert desk.all(m.Claim) == [m.Claim(1, 1, 3, 0)]


def test_slots_that_a_claim_holds_are_no_credit() -> None:
    room = Room(slots=3)
    desk = Desk(room).described(limit=1)
    desk.enqueue()
    assert desk.all(m.Claim) == [m.Claim(1, 1, 1, 2)]


def test_no_second_claim_goes_to_a_scheduler_that_owes_an_answer() -> None:
    room = Room(slots=2)
    desk = Desk(room).described().described(job=2)
    desk.enqueue()
    desk.enqueue(job=2)
    room.wait(10 * CLAIM_LIMIT_S)
    assert len(desk.all(m.Claim)) == 1


def test_a_void_claim_gives_its_slots_to_the_next_line() -> None:
    room = Room(slots=1)
    silent = Desk(room, "silent").described()
    other = Desk(room, "other").described()
    silent.enqueue()
    other.enqueue()
    assert (len(silent.all(m.Claim)), len(other.all(m.Claim))) == (1, 0)
    room.wait(CLAIM_LIMIT_S)
    assert (len(silent.all(m.Claim)), len(other.all(m.Claim))) == (1, 1)


def test_a_late_answer_to_a_void_claim_runs_and_claiming_goes_on() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    room.wait(1.0)
    desk.grant(1)
    assert len(room.started) == 1
    room.end(1, took_s=0.1)
    assert desk.last(m.Finished).room == 1


def test_the_next_claim_rides_on_finished() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    desk.grant(1)
    room.end(1, took_s=0.5)
    batch = desk.last(m.Finished)
    assert (batch.shape, batch.room, batch.free) == (1, 1, 0)
    assert len(desk.all(m.Claim)) == 1


def test_a_claim_for_another_job_goes_alone() -> None:
    room = Room(slots=1)
    desk = Desk(room).described().described(job=2)
    desk.grant(1)
    desk.enqueue(job=2)
    room.end(1)
    assert desk.last(m.Finished).room == 0
    assert desk.all(m.Claim) == [m.Claim(2, 1, 1, 0)]


def test_claims_double_while_tasks_are_short_up_to_what_fits_in_50_ms() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    sizes: list[int] = []
    for _ in range(7):
        sizes.append(asked_for(desk))
        warm(desk, 0.002, 1, ids=10_000 * (1 + len(sizes)))
    assert sizes == [1, 2, 4, 8, 16, 25, 25]


def test_one_claim_asks_for_at_most_256_tasks() -> None:
    room = Room(slots=4)
    desk = Desk(room).described()
    desk.enqueue()
    warm(desk, 0.000001, 10)
    assert asked_for(desk) == CLAIM_MAX


def test_one_long_task_makes_claims_small_again() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    warm(desk, 0.0001, 6)
    assert asked_for(desk) > 10
    desk.grant(1)
    room.end(1, took_s=0.020)
    desk.tell(m.NoTask(1, 1))
    desk.enqueue()
    assert asked_for(desk) == 1


def test_no_task_makes_the_line_sleep_until_something_is_granted_or_enqueued() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    desk.tell(m.NoTask(1, 1))
    room.wait(5.0)
    assert len(desk.all(m.Claim)) == 1
    desk.grant(1)
    room.end(1)
    assert desk.last(m.Finished).room == 1
    desk.tell(m.NoTask(1, 1))
    desk.enqueue()
    assert len(desk.all(m.Claim)) == 2


def test_a_closed_shape_is_never_claimed_again() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    desk.tell(m.NoTask(1, 1, closed=True))
    desk.grant(1)
    room.end(1)
    assert desk.last(m.Finished).room == 0


def test_enqueue_sets_a_level_and_a_reservation_is_used_up_by_its_claim() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    desk.enqueue(count=5, standing=False)
    desk.enqueue(count=2, standing=False)
    room.end(1, took_s=0.1)
    for task in (2, 3):
        assert asked_for(desk) == 1
        desk.grant(task)
        room.end(1, took_s=0.1)
    assert desk.last(m.Finished).room == 0


def test_an_enqueue_of_zero_takes_the_reservations_back() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1)
    desk.enqueue(count=3)
    desk.enqueue(count=0)
    room.end(1)
    assert desk.last(m.Finished).room == 0


def test_an_early_bound_task_takes_a_slot_that_waits_for_an_answer() -> None:
    room = Room(slots=1)
    one = Desk(room, "one").described()
    two = Desk(room, "two").described()
    one.enqueue()
    two.grant(5)
    assert [start.scheduler for start in room.started] == ["two"]
    one.grant(1)
    room.end(1)
    assert [start.scheduler for start in room.started] == ["two", "one"]


def test_a_less_urgent_task_leaves_that_slot_alone() -> None:
    room = Room(slots=1)
    one = Desk(room, "one").described(priority=1)
    two = Desk(room, "two").described()
    one.enqueue()
    two.grant(5)
    assert room.started == []
    room.wait(CLAIM_LIMIT_S)
    assert [start.scheduler for start in room.started] == ["two"]


def test_fair_shares_hold_between_users_of_two_schedulers() -> None:
    room = Room(slots=1)
    ann = Desk(room, "one").described(user="ann")
    bob = Desk(room, "two").described(user="bob")
    ann.enqueue()
    bob.enqueue()
    taken = {"one": 0, "two": 0}
    for task in range(40):
        [claim] = room.core._bench.serving.claims  # pyright: ignore[reportPrivateUsage]
        name = claim.work.scheduler
        room.desks[name].grant(task + 1)
        room.end(1, took_s=1.0 if name == "one" else 0.1)
        taken[name] += 1
    assert taken["two"] >= 8 * taken["one"]


def test_fifo_serves_by_arrival_and_ignores_priority() -> None:
    room = Room(slots=1, policy=Fifo())
    desk = Desk(room).described().described(shape=2, priority=9)
    desk.grant(1, 2)
    desk.grant(3, shape=2)
    for _ in range(3):
        room.end(1)
    assert [start.ids[0] for start in room.started] == [1, 2, 3]


def test_larger_priorities_are_served_first() -> None:
    room = Room(slots=1)
    desk = Desk(room).described().described(shape=2, priority=9)
    desk.grant(1, 2)
    desk.grant(3, shape=2)
    for _ in range(3):
        room.end(1)
    assert [start.ids[0] for start in room.started] == [1, 3, 2]


def test_without_multi_get_each_claim_asks_for_one_task_and_uses_up_one_reservation() -> None:
    room = Room(slots=2)
    desk = Desk(room).described(is_multi_get=False)
    desk.enqueue(count=8, standing=False)
    for task in range(1, 9):
        desk.grant(task)
        if len(room.running) == 2:
            room.end(min(room.running), took_s=0.00001)
    asks = desk.all(m.Finished) + desk.all(m.Claim)
    assert sum(ask.room for ask in asks) == 8
    assert max(ask.room for ask in asks) == 1
    assert all(len(start.ids) == 1 for start in room.started)


def test_without_multi_get_each_free_slot_asks_for_the_job_that_is_next() -> None:
    room = Room(slots=3)
    desk = Desk(room)
    for job in (1, 2, 3):
        desk.described(job, is_multi_get=False).enqueue(1, job, standing=False)
    assert [(claim.job, claim.room) for claim in desk.all(m.Claim)] == [(1, 1), (2, 1), (3, 1)]


def test_a_scheduler_that_owes_an_answer_for_too_long_is_asked_for_nothing() -> None:
    room = Room(slots=1)
    desk = Desk(room)
    for job in (1, 2):
        desk.described(job, is_multi_get=False).enqueue(1, job, standing=False)
    room.wait(10 * CLAIM_LIMIT_S)
    assert [claim.job for claim in desk.all(m.Claim)] == [1]
    desk.tell(m.NoTask(1, 1))
    assert [claim.job for claim in desk.all(m.Claim)] == [1, 2]


def test_a_claim_that_found_nothing_uses_up_its_reservation_and_no_other() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(is_multi_get=False)
    desk.enqueue(count=3, standing=False)
    for asked in (1, 2, 3):
        assert len(desk.all(m.Claim)) == asked
        desk.tell(m.NoTask(1, 1))
    assert len(desk.all(m.Claim)) == 3
    assert not room.core.explain()["lines"]


def test_reservations_that_are_taken_back_are_not_claimed_for() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(is_multi_get=False).described(2, is_multi_get=False)
    desk.grant(1)
    desk.enqueue(2, standing=False)
    desk.enqueue(2, job=2, standing=False)
    desk.enqueue(0, standing=False)
    room.end(1)
    assert [claim.job for claim in desk.all(m.Claim)] == [2]


def test_nothing_is_claimed_while_too_much_is_unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covey.core.peers.UNRECORDED_MAX", 2)
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    for task in (1, 2):
        desk.grant(task)
        room.end(1)
    assert desk.last(m.Finished).room == 0
    assert "recorded" in room.core.explain()["lines"][0]["why"]
    desk.tell(m.Recorded([batch.batch for batch in desk.all(m.Finished)]))
    assert len(desk.all(m.Claim)) == 2


def test_a_probe_is_answered_with_what_waits() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.grant(1, 2, 3)
    desk.tell(m.Probe(9))
    assert desk.last(m.Load) == m.Load(9, queued=2, busy=1)


def test_work_for_more_slots_than_there_are_is_not_claimed_and_status_says_why() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(slots=4)
    desk.enqueue()
    assert desk.all(m.Claim) == []
    assert room.core.explain()["lines"][0]["why"] == "needs 4 slots, there are 1"


def test_returned_tasks_do_not_count_as_run_times() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    desk.grant(1)
    room.end(1, state=OutcomeState.RETURNED, took_s=0.0)
    assert asked_for(desk) == 1
