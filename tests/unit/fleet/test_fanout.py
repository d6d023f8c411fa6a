"""The same work on many machines: who hangs delays nobody, who is turned away comes again."""

import threading
from collections import Counter

import pytest

from covey.errors import BootstrapFailed, ConnectFailed, MachineError
from covey.fleet import fanout
from covey.fleet.fanout import fan_out

#: A hang guard; nothing here takes long.
GUARD_S = 60.0


def test_results_stand_in_the_order_of_items_and_are_told_as_they_come() -> None:
    second_is_done = threading.Event()
    told: list[str] = []

    def work(name: str) -> str:
        if name == "first":
            assert second_is_done.wait(GUARD_S)
        return name.upper()

    def hear(name: str, _: str | MachineError) -> None:
        told.append(name)
        second_is_done.set()

    assert fan_out(["first", "second"], work, address_of=str, on_result=hear) == ["FIRST", "SECOND"]
    assert told == ["second", "first"]


def test_more_hung_machines_than_places_delay_nobody() -> None:
    good = [f"good{i}" for i in range(3)]
    hung = [f"hung{i}" for i in range(fanout.AT_ONCE_MIN * 2)]
    left, are_done = set(good), threading.Event()

    def work(name: str) -> str:
        if name.startswith("hung"):
            assert are_done.wait(GUARD_S), "the good ones wait for the hung ones"
            raise ConnectFailed("no answer", kind="timeout")
        return name

    def hear(name: str, result: str | MachineError) -> None:
        if isinstance(result, str):
            left.discard(name)
        if not left:
            are_done.set()

    results = fan_out([*hung, *good], work, address_of=str, on_result=hear)
    assert [r for r in results if isinstance(r, str)] == good
    assert all(isinstance(r, ConnectFailed) for r in results[: len(hung)])


def test_few_begin_at_once_at_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    # None is so slow that it is no longer counted, however long we may have no processor.
    monkeypatch.setattr(fanout, "SLOW_AFTER_S", GUARD_S)
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()
    are_many = threading.Event()

    def work(item: tuple[str, int]) -> None:
        with lock:
            now[item[0]] += 1
            most[item[0]] = max(most[item[0]], now[item[0]])
            if sum(now.values()) >= fanout.AT_ONCE_MIN:
                are_many.set()
        are_many.wait(0.5)
        with lock:
            now[item[0]] -= 1

    items = [("one", i) for i in range(30)] + [("other", i) for i in range(30)]
    fan_out(items, work, address_of=lambda item: item[0])
    assert 1 < max(most.values()) <= fanout.PER_ADDRESS_MAX


def test_a_connection_closed_in_the_greeting_is_tried_again_with_fewer_at_once() -> None:
    lock, tries = threading.Lock(), Counter[int]()

    def work(item: int) -> int:
        with lock:
            tries[item] += 1
        if item % 2 and tries[item] < 3:
            raise ConnectFailed("closed", kind="closed")
        return item

    assert fan_out(range(8), work, address_of=str) == list(range(8))
    assert [tries[item] for item in range(8)] == [1, 3] * 4


def test_a_machine_that_closes_every_time_is_given_up() -> None:
    tries: list[int] = []

    def work(_: int) -> None:
        tries.append(1)
        raise ConnectFailed("closed", kind="closed")

    (result,) = fan_out([0], work, address_of=str)
    assert isinstance(result, ConnectFailed)
    assert len(tries) == fanout.RETRIES_MAX + 1


def test_what_is_wrong_on_one_machine_is_its_result_and_anything_else_is_raised() -> None:
    def work(name: str) -> str:
        if name == "bad":
            raise BootstrapFailed("no python3 found")
        return name

    results = fan_out(["good", "bad"], work, address_of=str)
    assert results[0] == "good"
    assert isinstance(results[1], BootstrapFailed)

    def breaks(_: str) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        fan_out(["x"], breaks, address_of=str)


def test_without_items_nothing_is_done() -> None:
    assert fan_out(list[str](), len, address_of=str) == []
