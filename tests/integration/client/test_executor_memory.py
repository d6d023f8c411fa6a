"""What futures cost, and that nothing is kept of what was given away."""

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import covey
from covey.testing.waiting import wait_until

#: Memory blocks per future that waits or has ended: object, attributes, entries, payload, task.
BLOCKS_MAX = 10
#: Resident bytes per future; one of the standard library alone takes 1,600.
BYTES_MAX = 600


class Thing:
    """Arguments and results that can be watched."""


def same(thing: Any) -> Any:
    return thing


def test_no_argument_is_kept(ex: covey.Executor) -> None:
    thing = Thing()
    gone = weakref.ref(thing)
    future = ex.submit(id, thing)
    del thing
    future.result()
    wait_until(lambda: gone() is None)


def test_a_result_lives_as_long_as_its_future(ex: covey.Executor) -> None:
    future = ex.submit(same, Thing())
    gone = weakref.ref(future.result())
    assert gone() is not None
    del future
    wait_until(lambda: gone() is None)


def test_a_map_keeps_no_argument_and_no_result(ex: covey.Executor) -> None:
    things = [Thing() for _ in range(50)]
    gone = [weakref.ref(thing) for thing in things]
    results = ex.map(same, things)
    things.clear()
    for result in results:
        assert isinstance(result, Thing)
        watched = weakref.ref(result)
        del result
        wait_until(lambda watched=watched: watched() is None)
    wait_until(lambda: not any(ref() for ref in gone))


def test_an_exception_lives_as_long_as_its_future(ex: covey.Executor) -> None:
    future = ex.submit(divmod, 1, 0)
    error = future.exception()
    assert error is not None
    gone = weakref.ref(future)
    del future, error
    gc.collect()
    wait_until(lambda: gone() is None)


def test_callbacks_are_dropped_when_they_have_been_called(ex: covey.Executor) -> None:
    def callback_of(thing: Thing) -> Callable[[object], object]:
        return lambda _: thing

    thing = Thing()
    gone = weakref.ref(thing)
    future = ex.submit(abs, -1)
    future.add_done_callback(callback_of(thing))
    del thing
    future.result()
    wait_until(lambda: gone() is None)


def test_a_future_outlives_its_executor_without_keeping_it() -> None:
    ex = covey.Executor(1)
    future = ex.submit(abs, -1)
    engine = weakref.ref(ex._shared.engine())  # pyright: ignore[reportPrivateUsage]
    assert future.result() == 1
    ex.shutdown()
    del ex
    # Whatever thread it had may be about to end.
    wait_until(lambda: gc.collect() >= 0 and engine() is None)
    assert future.result() == 1


@pytest.mark.slow
def test_hundreds_of_thousands_of_futures_cost_little(ex: covey.Executor) -> None:
    count = 200_000
    ex.submit(abs, -1).result()
    gc.collect()
    blocks, rss = sys.getallocatedblocks(), _rss()
    many = [ex.submit(abs, -n) for n in range(count)]
    waiting = (sys.getallocatedblocks() - blocks) / count
    assert [future.result() for future in many] == list(range(count))
    ended = (sys.getallocatedblocks() - blocks) / count
    assert (waiting, ended) < (BLOCKS_MAX, BLOCKS_MAX), (waiting, ended)
    assert (_rss() - rss) / count < BYTES_MAX
    del many
    gc.collect()
    wait_until(lambda: (sys.getallocatedblocks() - blocks) / count < 0.2)


def test_no_thread_and_no_lock_is_made_per_task(ex: covey.Executor) -> None:
    ex.submit(abs, -1).result()
    threads = threading.active_count()
    many = [ex.submit(abs, -n) for n in range(1000)]
    wait_until(lambda: all(future.done() for future in many))
    assert threading.active_count() == threads
    made = [f for f in many if f._lazy_condition is not None]  # pyright: ignore
    assert not made


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
