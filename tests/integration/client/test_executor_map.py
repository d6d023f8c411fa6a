"""Executor.map: order, laziness, limits, and what ends it."""

import itertools
import os
import time
from collections.abc import Iterator
from concurrent import futures
from typing import cast

import pytest

import covey
from covey.errors import TaskCrashed
from covey.testing.waiting import wait_until


def test_results_come_in_order(ex: covey.Executor) -> None:
    assert list(ex.map(abs, range(-5000, 0))) == list(range(5000, 0, -1))
    assert list(ex.map(pow, range(10), range(10))) == [n**n for n in range(10)]
    assert list(ex.map(pow, [2, 3, 4], [5])) == [32]
    assert list(ex.map(abs, [])) == []
    assert list(ex.map(abs)) == []


@pytest.mark.parametrize("chunksize", [1, 2, 7, 1000])
@pytest.mark.parametrize("buffersize", [None, 1, 3, 1000])
def test_no_size_changes_the_results(
    ex: covey.Executor, chunksize: int, buffersize: int | None
) -> None:
    results = ex.map(abs, range(-100, 0), chunksize=chunksize, buffersize=buffersize)
    assert list(results) == list(range(100, 0, -1))


def test_slow_and_fast_calls_in_any_mixture_keep_their_order(ex: covey.Executor) -> None:
    def wait(n: int) -> int:
        if n % 500 > 490:
            time.sleep(0.03)
        return n

    assert list(ex.map(wait, range(2000))) == list(range(2000))


def test_slow_calls_after_fast_ones_are_shared_by_the_slots(ex: covey.Executor) -> None:
    def wait(seconds: float) -> int:
        time.sleep(seconds)
        return os.getpid()

    pids = list(ex.map(wait, [0.0] * 3000 + [0.1] * 30))[-30:]
    # As many each, where nobody else wants the processors.
    assert 3 <= pids.count(pids[0]) <= 27


def test_without_a_buffer_all_inputs_are_taken_at_once(ex: covey.Executor) -> None:
    source = iter(range(10))
    results = ex.map(abs, source)
    assert next(source, None) is None
    assert list(results) == list(range(10))


def test_with_a_buffer_just_so_many_inputs_are_taken(ex: covey.Executor) -> None:
    source = itertools.count()
    results = ex.map(str, source, buffersize=4)
    assert next(source) == 4
    assert next(results) == "0"
    assert next(source) == 6
    results = ex.map(str, itertools.count(), buffersize=2)
    assert list(itertools.islice(results, 3)) == ["0", "1", "2"]


def test_a_buffer_counts_tasks_of_chunksize_calls(ex: covey.Executor) -> None:
    source = itertools.count()
    ex.map(str, source, buffersize=2, chunksize=5)
    assert next(source) == 10


def test_sizes_that_make_no_sense_are_refused(ex: covey.Executor) -> None:
    with pytest.raises(ValueError, match=r"chunksize must be >= 1\."):
        ex.map(abs, [1], chunksize=0)
    for bad in (0, -1):
        with pytest.raises(ValueError, match="buffersize must be None or > 0"):
            ex.map(abs, [1], buffersize=bad)
    for odd in ("foo", 2.0):
        with pytest.raises(TypeError, match="buffersize must be an integer or None"):
            ex.map(abs, [1], buffersize=cast(int, odd))


def test_the_timeout_counts_from_the_call(ex: covey.Executor) -> None:
    results = ex.map(time.sleep, [0, 0, 30], timeout=2)
    with pytest.raises(futures.TimeoutError):
        list(results)
    assert list(ex.map(abs, [-1], timeout=30)) == [1]
    with pytest.raises(TimeoutError):
        list(ex.map(time.sleep, [30], timeout=0))


def test_an_exception_comes_after_the_results_before_it(ex: covey.Executor) -> None:
    results = ex.map(divmod, [4, 5, 6], [2, 0, 2])
    assert next(results) == (2, 0)
    with pytest.raises(ZeroDivisionError):
        next(results)
    with pytest.raises(StopIteration):
        next(results)
    chunked = ex.map(divmod, [4, 6, 5, 6], [2, 2, 0, 2], chunksize=4)
    assert [next(chunked), next(chunked)] == [(2, 0), (3, 0)]
    with pytest.raises(ZeroDivisionError):
        next(chunked)


def test_an_exception_of_the_inputs_is_told(ex: covey.Executor) -> None:
    def inputs() -> Iterator[int]:
        yield 1
        yield 2
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        ex.map(abs, inputs())
    results = ex.map(abs, inputs(), buffersize=1)
    assert next(results) == 1
    with pytest.raises(LookupError, match="no more"):
        next(results)


def test_a_dead_child_ends_the_map_and_not_the_pool(ex: covey.Executor) -> None:
    def fall(n: int) -> int:
        if n == 3:
            os._exit(1)
        return n

    results = ex.map(fall, range(1000))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(TaskCrashed):
        next(results)
    assert list(ex.map(abs, [-1])) == [1]


def test_closing_the_results_cancels_what_has_not_ended(ex: covey.Executor) -> None:
    results = ex.map(time.sleep, [0, 60, 60, 60, 60])
    assert next(results) is None
    cast("Iterator[None]", results).close()  # pyright: ignore
    begun = time.monotonic()
    assert ex.submit(abs, -1).result() == 1
    assert time.monotonic() - begun < 30


def test_a_buffered_map_takes_no_more_after_a_shutdown() -> None:
    ex = covey.Executor(1)
    source = itertools.count()
    results = ex.map(str, source, buffersize=4)
    ex.shutdown()
    assert next(source) == 4
    with pytest.raises(RuntimeError, match="after shutdown"):
        next(results)


def test_an_executor_that_only_its_results_refer_to_goes_on() -> None:
    assert list(covey.Executor(2).map(abs, range(-20, 0), buffersize=2)) == list(range(20, 0, -1))
    assert list(covey.Executor(2).map(abs, range(-20, 0))) == list(range(20, 0, -1))


def test_results_that_nobody_takes_are_computed_nevertheless(ex: covey.Executor) -> None:
    path = os.environ["XDG_RUNTIME_DIR"] + "/count"

    def note(path: str) -> None:
        with open(path, "a") as file:
            file.write("x")

    ex.map(note, [path] * 50)
    wait_until(lambda: os.path.exists(path) and os.path.getsize(path) == 50)
