"""Which functions are pickled once, which each time, and which travel as an argument."""

import operator
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from covey.client.functions import VARIANTS_MAX, Functions
from covey.errors import Unpicklable

SCALE = 2


def by_name(n: int) -> int:
    return n


@pytest.fixture
def contexts() -> dict[str, bytes]:
    return {}


@pytest.fixture
def functions(contexts: dict[str, bytes]) -> Functions:
    return Functions(contexts)


def is_kept(functions: Functions, function: Callable[..., Any]) -> bool:
    functions.place(function)
    return id(function) in functions._kept  # pyright: ignore[reportPrivateUsage]


def test_what_is_found_by_name_is_kept(functions: Functions) -> None:
    assert is_kept(functions, by_name)
    assert is_kept(functions, len)
    assert is_kept(functions, dict)


def test_what_refers_to_nothing_that_changes_is_kept(functions: Functions) -> None:
    step = 3
    assert is_kept(functions, lambda: step + 1)
    assert is_kept(functions, lambda: by_name(1) + SCALE)


def test_what_refers_to_something_that_changes_is_not_kept(functions: Functions) -> None:
    numbers = [1]
    assert not is_kept(functions, lambda: numbers[0])
    assert not is_kept(functions, partial(pow, 2))
    assert not is_kept(functions, numbers.append)


def test_a_new_value_of_a_variable_is_seen(
    functions: Functions, contexts: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    step = 3

    def add(n: int) -> int:
        return n + step + SCALE

    first = functions.place(add)
    assert functions.place(add) == first
    step = 4
    second = functions.place(add)
    assert second != first
    monkeypatch.setitem(globals(), "SCALE", 9)
    assert functions.place(add) not in (first, second)
    assert len(contexts) == 3


def test_recursion_is_looked_through_once(functions: Functions) -> None:
    def down(n: int) -> int:
        return down(n - 1) if n else 0

    assert is_kept(functions, down)


def test_closures_without_end_travel_as_arguments(
    functions: Functions, contexts: dict[str, bytes]
) -> None:
    def make(n: int) -> Callable[[], int]:
        return lambda: n

    placed = [functions.place(make(n)) for n in range(100)]
    assert [is_argument for _, is_argument in placed].count(False) == VARIANTS_MAX
    assert len({digest for digest, is_argument in placed if is_argument}) == 1
    assert len(contexts) == VARIANTS_MAX + 1
    assert functions.place(make(0)) == placed[0]
    assert functions.place(operator.call)[0] == placed[-1][0]


def test_a_function_that_cannot_be_sent_is_named(functions: Functions) -> None:
    with pytest.raises(Unpicklable, match=r"the function .*guarded cannot be sent"):
        functions.place(_guarded(threading.Lock()))


def _guarded(lock: Any) -> Callable[[], bool]:
    def guarded() -> bool:
        return lock.locked()

    return guarded
