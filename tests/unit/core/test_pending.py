"""Tasks that wait: ranges, single ones, and what a bitmap leaves undone."""

import hypothesis.strategies as st
from hypothesis import given

from covey.core.pending import Pending, undone
from covey.core.timers import Timers


def test_a_million_tasks_are_one_range() -> None:
    pending = Pending()
    for first in range(1, 1_000_001, 1000):
        pending.add(first, 1000)
    assert list(pending.ranges()) == [(1, 1_000_001)]
    assert pending.take(3) == [1, 2, 3]
    assert pending.count == 999_997


def test_what_came_back_goes_out_first() -> None:
    pending = Pending()
    pending.add(10, 5)
    pending.put_back(7)
    pending.put_back(3)
    assert pending.take(4) == [3, 7, 10, 11]


def test_everything_moves_to_another() -> None:
    low, high = Pending(), Pending()
    low.add(1, 3)
    low.put_back(9)
    high.add(4, 3)
    low.move_to(high)
    high.check()
    assert low.count == 0
    assert high.take(99) == [9, 1, 2, 3, 4, 5, 6]


@given(st.lists(st.tuples(st.sampled_from("atsb"), st.integers(1, 30)), max_size=60))
def test_it_is_a_set_of_numbers(steps: list[tuple[str, int]]) -> None:
    pending, model, out = Pending(), set[int](), list[int]()
    top = 1
    for what, number in steps:
        match what:
            case "a":
                pending.add(top, number)
                model.update(range(top, top + number))
                top += number + 1
            case "t":
                taken = pending.take(number)
                assert len(taken) == min(number, len(model))
                assert set(taken) <= model
                model -= set(taken)
                out += taken
            case "s":
                assert pending.strike(number) == (number in model)
                model.discard(number)
            case _ if out:
                task = out.pop(number % len(out))
                pending.put_back(task)
                model.add(task)
            case _:
                pass
        pending.check()
        assert pending.count == len(model)
        assert {task for task in range(1, top) if task in pending} == model


@given(st.lists(st.booleans(), max_size=80), st.integers(0, 3))
def test_what_a_bitmap_leaves_undone(is_done: list[bool], cut: int) -> None:
    done = bytearray(len(is_done) // 8 + 1)
    for task, bit in enumerate(is_done, start=1):
        done[task >> 3] |= bit << (task & 7)
    del done[len(done) - cut :]
    known = [bit and task >> 3 < len(done) for task, bit in enumerate(is_done, start=1)]
    left = [t for first, count in undone(done, len(is_done)) for t in range(first, first + count)]
    assert left == [task for task, bit in enumerate(known, start=1) if not bit]


def test_the_earliest_wish_stands_and_each_is_told_once() -> None:
    timers = Timers()
    timers.wake_by(("hello", "a"), 5.0)
    timers.wake_by(("hello", "a"), 3.0)
    timers.wake_by(("hello", "a"), 9.0)
    timers.wake_by(("pulse", ""), 4.0)
    timers.wake_by(("link", "b"), 1.0)
    timers.drop(("link", "b"))
    assert timers.wake_at == 3.0
    assert timers.due(4.5) == [("hello", "a"), ("pulse", "")]
    assert timers.wake_at is None
