"""An agent stops less urgent tasks for those that may preempt; users get their weighted shares."""

from collections import Counter
from typing import Any

from tests.unit.core.desk import Desk, Room

from covey.model.task import OutcomeState
from covey.wire import messages as m

CANCELLED = int(OutcomeState.CANCELLED)


def busy(slots: int = 2, **terms: Any) -> tuple[Room, Desk]:
    """An agent whose slots are taken by tasks 1, 2 … of shape 1, begun one after the other."""
    room = Room(slots=slots)
    desk = Desk(room).described(**terms)
    desk.described(shape=2, priority=5, may_preempt=True)
    for task in range(1, slots + 1):
        room.now += 1
        desk.grant(task)
    return room, desk


def test_an_urgent_task_stops_the_youngest_of_the_least_urgent() -> None:
    room, desk = busy()
    desk.grant(9, shape=2)
    assert room.killed() == [(2, [2])]
    room.end(2, CANCELLED)
    assert desk.outcomes() == {2: OutcomeState.RETURNED}
    assert room.running[2].ids == [9]


def test_no_more_is_stopped_than_slots_are_needed() -> None:
    room, desk = busy(slots=4)
    desk.grant(9, shape=2)
    desk.tell(m.Probe(1))
    room.wait(0.2)
    assert room.killed() == [(4, [4])]
    desk.grant(10, shape=2)
    assert room.killed() == [(4, [4]), (3, [3])]


def test_nothing_is_stopped_while_a_slot_is_free() -> None:
    room, desk = busy()
    room.end(1)
    desk.grant(9, shape=2)
    assert not room.killed()


def test_a_task_that_may_not_preempt_waits() -> None:
    room, desk = busy()
    desk.described(shape=3, priority=5)
    desk.grant(9, shape=3)
    assert not room.killed()


def test_what_is_as_urgent_is_not_stopped() -> None:
    room, desk = busy(priority=5)
    desk.grant(9, shape=2)
    assert not room.killed()


def test_several_slots_are_freed_all_or_none() -> None:
    room, desk = busy(slots=3)
    desk.described(shape=3, priority=5, may_preempt=True, slots=2)
    desk.grant(8, shape=3)
    assert sorted(room.killed()) == [(2, [2]), (3, [3])]
    desk.grant(9, shape=3)
    assert len(room.killed()) == 2


def test_a_reservation_that_may_preempt_is_claimed_for_though_no_slot_is_free() -> None:
    room, desk = busy(slots=1)
    desk.enqueue(1, shape=2, standing=False)
    assert (desk.last(m.Claim).shape, desk.last(m.Claim).room) == (2, 1)
    assert not room.killed()
    desk.grant(9, shape=2)
    assert room.killed() == [(1, [1])]


def test_a_reservation_for_two_slots_is_claimed_for_though_only_one_is_free() -> None:
    room, desk = busy(slots=2)
    desk.described(shape=3, priority=5, may_preempt=True, slots=2)
    room.end(1)
    desk.enqueue(1, shape=3, standing=False)
    assert (desk.last(m.Claim).shape, desk.last(m.Claim).room) == (3, 1)
    desk.grant(9, shape=3)
    assert room.killed() == [(2, [2])]
    room.end(2, CANCELLED)
    assert room.running[1].ids == [9]


def test_a_task_that_was_quicker_than_its_end_is_a_success() -> None:
    room, desk = busy(slots=1)
    desk.grant(9, shape=2)
    room.end(1)
    assert desk.outcomes()[1] is OutcomeState.SUCCEEDED
    assert room.running[1].ids == [9]


def test_users_get_slot_time_by_their_weights() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(1, user="a", weight=2.0).described(2, user="b", weight=1.0)
    for task in range(1, 61):
        desk.grant(task, job=1)
        desk.grant(100 + task, job=2)
    for _ in range(30):
        room.end(1, took_s=0.5)
    users = Counter(start.terms.user for start in room.started)
    assert 19 <= users["a"] <= 22


def test_what_only_waits_is_no_share_of_its_user() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(1, user="much").described(2, user="little")
    for task in range(1, 101):
        desk.grant(task, job=1)
    for task in range(1, 21):
        desk.grant(task, job=2)
    for _ in range(20):
        room.end(1, took_s=0.5)
    users = Counter(start.terms.user for start in room.started)
    assert 9 <= users["much"] <= 12


def test_the_newest_weight_of_a_user_counts() -> None:
    room = Room(slots=1)
    desk = Desk(room).described(1, user="a", weight=9.0).described(2, user="b")
    desk.described(3, user="a", weight=1.0)
    for task in range(1, 61):
        desk.grant(task, job=1)
        desk.grant(100 + task, job=2)
    for _ in range(30):
        room.end(1, took_s=0.5)
    users = Counter(start.terms.user for start in room.started)
    assert abs(users["a"] - users["b"]) <= 2


def test_who_binds_early_does_not_take_the_share_of_who_binds_late() -> None:
    room = Room(slots=1)
    desk = Desk(room, "early").described(user="a")
    late = Desk(room, "late").described(user="b")
    desk.grant(*range(1, 100))
    late.enqueue()
    granted = 0
    for _ in range(20):
        room.end(1, took_s=0.5)
        if len(late.all(m.Claim)) + sum(batch.room > 0 for batch in late.all(m.Finished)) > granted:
            granted += 1
            late.grant(granted)
    assert sum(start.scheduler == "late" for start in room.started) >= 8
