"""When an agent claims before a slot is free."""

from tests.unit.core.desk import Desk, Room, asked, asked_for, warm

from covey.core.ahead import left_of
from covey.wire import messages as m


def test_the_next_claim_is_sent_before_the_slots_run_dry() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    warm(desk, 0.0005, 5)
    room.now += 0.001
    asked = asked_for(desk)
    desk.grant(*range(1, asked + 1))
    before = len(desk.all(m.Claim))
    room.wait(asked * 0.0005 - 0.0015)
    assert len(desk.all(m.Claim)) == before
    room.wait(0.0010)
    assert len(desk.all(m.Claim)) == before + 1
    assert len(room.running) == 1


def busy(slots: int, chunks: int) -> tuple[Room, Desk]:
    """Each slot has a chunk of ten tasks of 5 ms, the first one task left, the others nine."""
    room = Room(slots=slots)
    desk = Desk(room).described()
    desk.enqueue()
    warm(desk, 0.005, 8)
    room.now += 0.001
    desk.grant(*range(1, 10 * chunks + 1))
    assert [len(start.ids) for start in room.running.values()] == [10] * slots
    for slot in range(1, slots + 1):
        room.end(slot, took_s=0.005, parts=9 if slot == 1 else 1)
    return room, desk


def test_the_next_claim_is_sent_before_the_first_of_the_slots_runs_dry() -> None:
    room, desk = busy(slots=2, chunks=2)
    before = asked(desk)
    room.wait(0.0035)
    assert asked(desk) == before
    room.wait(0.0010)
    assert asked(desk) == [*before, 20]
    assert len(room.running) == 2


def test_a_slot_for_which_a_chunk_waits_is_not_about_to_run_dry() -> None:
    room, desk = busy(slots=2, chunks=3)
    before = asked(desk)
    room.wait(0.0045)
    room.end(1, took_s=0.005)
    assert room.running[1].ids[0] == 21
    assert asked(desk) == before


def test_what_other_slots_still_have_is_not_asked_for_again() -> None:
    room, _ = busy(slots=3, chunks=4)
    runs = list(room.core._bench.slots.runs.values())  # pyright: ignore[reportPrivateUsage]
    left = left_of(runs, [], room.now + 0.004)
    # 1 + 41 + 41 ms of 3 times 50.
    assert left is not None
    assert left.until_dry_s < 0.0011
    assert left.shares == 2


def test_long_tasks_are_never_claimed_ahead() -> None:
    room = Room(slots=1)
    desk = Desk(room).described()
    desk.enqueue()
    warm(desk, 0.5, 2)
    desk.grant(1)
    before = len(desk.all(m.Claim))
    room.wait(3.0)
    assert len(desk.all(m.Claim)) == before
