"""At an agent: tasks that take no slot run at once, beside whatever has the slots."""

from tests.unit.core.desk import OK, Desk, Room

from covey.core.events import DrainAsked
from covey.core.slots import ASIDE_MAX
from covey.wire import messages as m


def a_desk(room: Room) -> Desk:
    """Shape 1 takes a slot, shape 2 none."""
    return Desk(room).described(shape=1).described(shape=2, slots=0)


def test_a_task_without_slots_starts_while_all_slots_are_busy() -> None:
    room = Room(slots=1)
    desk = a_desk(room)
    desk.grant(1, 2)
    desk.grant(3, shape=2)
    assert [start.ids for start in room.started] == [[1], [3]]
    assert room.started[1].slot > 1
    assert room.core.explain()["busy"] == 1
    assert room.core.explain()["aside"] == 1


def test_it_takes_no_slot_from_others_and_no_room() -> None:
    room = Room(slots=2)
    desk = a_desk(room)
    desk.grant(1, shape=2)
    room.end(room.started[0].slot)
    assert desk.last(m.Finished).free == 2
    assert desk.outcomes() == {1: OK}


def test_more_of_them_than_places_wait_for_the_end_of_one() -> None:
    room = Room(slots=1)
    desk = a_desk(room)
    desk.grant(*range(1, ASIDE_MAX + 3), shape=2)
    assert len(room.running) == ASIDE_MAX
    [line] = room.core.explain()["lines"]
    assert line["why"] == f"{ASIDE_MAX} tasks run aside of the slots already"
    room.end(min(room.running))
    assert len(room.running) == ASIDE_MAX
    assert len(room.started) == ASIDE_MAX + 1


def test_they_run_one_by_one_however_short_they_are() -> None:
    room = Room(slots=1)
    desk = a_desk(room)
    for task in range(1, 20):
        desk.grant(task, shape=2)
        room.end(room.started[-1].slot, took_s=0.00001)
    desk.grant(*range(20, 24), shape=2)
    assert all(len(start.ids) == 1 for start in room.started)


def test_a_reservation_for_them_is_no_reason_to_claim() -> None:
    room = Room(slots=2)
    desk = a_desk(room)
    desk.enqueue(3, shape=2)
    assert not desk.all(m.Claim)


def test_an_agent_leaves_when_they_have_ended() -> None:
    room = Room(slots=1)
    desk = a_desk(room)
    desk.grant(1, shape=2)
    room.handle(DrainAsked())
    assert not desk.all(m.Goodbye)
    room.end(room.started[0].slot)
    desk.tell(m.Recorded([desk.last(m.Finished).batch]))
    assert desk.all(m.Goodbye)
