"""What the documentation of concurrent.futures promises."""

import os
import threading
import time
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import pytest

import covey
from covey.testing.ending import join
from covey.testing.waiting import wait_until


def wait_for(gate: Path) -> None:
    """A call that ends when the file is there."""
    while not gate.exists():
        time.sleep(0.005)


def test_a_result_comes_back(ex: covey.Executor) -> None:
    assert ex.submit(pow, 2, 10).result() == 1024
    assert ex.submit(int, "ff", base=16).result() == 255


def test_tasks_run_in_other_processes(ex: covey.Executor) -> None:
    assert ex.submit(os.getpid).result() != os.getpid()


def test_two_slots_run_two_tasks_at_once(ex: covey.Executor) -> None:
    meeting = ex.submit(os.getpid).result() and os.getpid()
    name = f"/tmp/covey-test-{meeting}-{time.monotonic_ns()}"

    def meet(mine: str, other: str) -> bool:
        from pathlib import Path

        Path(mine).touch()
        until = time.monotonic() + 60
        while not Path(other).exists():
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    both = [ex.submit(meet, name + "a", name + "b"), ex.submit(meet, name + "b", name + "a")]
    assert [future.result() for future in both] == [True, True]
    for end in "ab":
        os.unlink(name + end)


def test_it_is_an_executor_and_its_futures_are_futures(ex: covey.Executor) -> None:
    assert isinstance(ex, futures.Executor)
    assert isinstance(ex.submit(abs, 1), futures.Future)


def test_done_and_running_tell_the_state(ex: covey.Executor) -> None:
    future = ex.submit(time.sleep, 30)
    wait_until(future.running)
    assert not future.done()
    assert future.cancel()
    assert future.done()
    assert future.cancelled()
    assert not future.running()
    with pytest.raises(futures.CancelledError):
        future.result()
    with pytest.raises(futures.CancelledError):
        future.exception()


def test_a_result_that_is_late_raises_timeout_error(ex: covey.Executor) -> None:
    future = ex.submit(time.sleep, 30)
    with pytest.raises(futures.TimeoutError):
        future.result(timeout=0.05)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    future.cancel()


def test_a_future_that_has_ended_cannot_be_cancelled_or_set(ex: covey.Executor) -> None:
    future = ex.submit(abs, -1)
    assert future.result() == 1
    assert not future.cancel()
    assert not future.cancelled()
    with pytest.raises(futures.InvalidStateError):
        future.set_result(2)
    with pytest.raises(RuntimeError):
        future.set_running_or_notify_cancel()


def test_wait_and_as_completed_see_futures_of_two_kinds(ex: covey.Executor) -> None:
    with futures.ThreadPoolExecutor(1) as pool:
        mine, theirs = ex.submit(abs, -3), pool.submit(abs, -4)
        done, left = futures.wait([mine, theirs], timeout=20)
        assert not left
        assert {future.result() for future in done} == {3, 4}
    many = [ex.submit(abs, n) for n in range(100)]
    assert sorted(f.result() for f in futures.as_completed(many, timeout=20)) == list(range(100))


def test_wait_returns_at_the_first_that_ends_or_fails(ex: covey.Executor) -> None:
    slow, quick = ex.submit(time.sleep, 30), ex.submit(time.sleep, 0)
    done, left = futures.wait([slow, quick], return_when=futures.FIRST_COMPLETED, timeout=20)
    assert (done, left) == ({quick}, {slow})
    failing = ex.submit(time.sleep, -1)
    done, left = futures.wait([slow, failing], return_when=futures.FIRST_EXCEPTION, timeout=20)
    assert (done, left) == ({failing}, {slow})
    slow.cancel()
    assert futures.wait([slow]).done == {slow}


def test_as_completed_yields_what_was_cancelled(ex: covey.Executor) -> None:
    slow = ex.submit(time.sleep, 30)
    threading.Timer(0.05, slow.cancel).start()
    assert list(futures.as_completed([slow], timeout=20)) == [slow]


def test_callbacks_are_called_once_in_order_with_the_future(
    ex: covey.Executor, tmp_path: Path
) -> None:
    called: list[tuple[int, object]] = []
    future = ex.submit(wait_for, tmp_path / "gate")
    future.add_done_callback(lambda f: called.append((1, f)))
    future.add_done_callback(lambda f: called.append((2, f)))
    (tmp_path / "gate").touch()
    future.result()
    wait_until(lambda: len(called) == 2)
    future.add_done_callback(lambda f: called.append((3, f)))
    assert called == [(1, future), (2, future), (3, future)]


def test_a_callback_that_raises_harms_nobody(
    ex: covey.Executor, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    def broken(error: BaseException) -> Callable[[object], None]:
        def call(_: object) -> None:
            raise error

        return call

    called: list[int] = []
    future = ex.submit(wait_for, tmp_path / "gate")
    for error in (ValueError("no"), SystemExit(3), KeyboardInterrupt()):
        future.add_done_callback(broken(error))
    future.add_done_callback(lambda _: called.append(1))
    (tmp_path / "gate").touch()
    future.result()
    wait_until(lambda: called)
    assert "exception calling callback" in caplog.text
    assert ex.submit(abs, -1).result() == 1


def test_a_callback_may_submit(ex: covey.Executor) -> None:
    got: list[int] = []
    first = ex.submit(abs, -1)
    first.add_done_callback(
        lambda f: ex.submit(abs, -2).add_done_callback(lambda g: got.append(g.result()))
    )
    wait_until(lambda: got == [2])


def test_a_callback_may_shut_the_executor_down(ex: covey.Executor) -> None:
    ex.submit(abs, -1).add_done_callback(lambda _: ex.shutdown())
    wait_until(lambda: _is_shut(ex))


def _is_shut(ex: covey.Executor) -> bool:
    try:
        ex.submit(abs, -1).cancel()
    except RuntimeError:
        return True
    return False


def test_nothing_is_taken_after_shutdown() -> None:
    ex = covey.Executor(1)
    ex.shutdown()
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        ex.submit(abs, 1)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        ex.map(abs, [1])
    ex.shutdown()


def test_shutdown_waits_for_what_was_submitted() -> None:
    ex = covey.Executor(2)
    many = [ex.submit(time.sleep, 0.01) for _ in range(20)]
    ex.shutdown()
    assert all(future.done() and not future.cancelled() for future in many)


def test_shutdown_without_waiting_lets_what_was_submitted_end() -> None:
    ex = covey.Executor(2)
    many = [ex.submit(time.sleep, 0.01) for _ in range(20)]
    ex.shutdown(wait=False)
    with pytest.raises(RuntimeError):
        ex.submit(abs, 1)
    assert [future.result() for future in many] == [None] * 20


def test_shutdown_can_cancel_what_has_no_slot_yet() -> None:
    ex = covey.Executor(2)
    # So many that they cannot all have ended before the shutdown.
    many = [ex.submit(time.sleep, 0.1) for _ in range(1000)]
    wait_until(lambda: sum(future.running() or future.done() for future in many) >= 2)
    ex.shutdown(cancel_futures=True)
    cancelled = [future for future in many if future.cancelled()]
    assert all(future.done() for future in many)
    assert 2 <= len(many) - len(cancelled) < 1000
    assert all(future.result() is None for future in many if future not in cancelled)


def test_shutdown_that_cancels_ends_a_map() -> None:
    ex = covey.Executor(1)
    results = ex.map(time.sleep, [0.2] * 100)
    ex.shutdown(cancel_futures=True)
    with pytest.raises(futures.CancelledError):
        list(results)


def test_threads_submit_at_once(ex: covey.Executor) -> None:
    sums: list[int] = []

    def work(base: int) -> None:
        sums.append(sum(f.result() for f in [ex.submit(abs, -base - n) for n in range(500)]))

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    join(*threads)
    assert sorted(sums) == sorted(sum(range(1000 * n, 1000 * n + 500)) for n in range(8))


def test_two_executors_work_at_once() -> None:
    with covey.Executor(1) as one, covey.Executor(1) as two:
        a, b = one.submit(os.getppid), two.submit(os.getppid)
        assert a.result() != b.result()


def test_an_executor_inside_of_a_task_works(ex: covey.Executor) -> None:
    def inner(n: int) -> int:
        import covey

        with covey.Executor(1, local=True) as nested:
            return nested.submit(abs, -n).result()

    assert ex.submit(inner, 5).result() == 5


@pytest.mark.parametrize("bad", [0, -1])
def test_a_number_of_workers_below_one_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match="max_workers must be greater than 0"):
        covey.Executor(bad)


def test_a_task_that_needs_two_slots_gets_both(ex: covey.Executor) -> None:
    wide = ex.with_options(cpus=2)
    log = os.environ["XDG_RUNTIME_DIR"] + "/log"

    def note(path: str, name: str) -> None:
        for word in ("in", "out"):
            with open(path, "a") as file:
                file.write(f"{name} {word}\n")
            time.sleep(0.02)

    many = [
        (wide if n % 2 else ex).submit(note, log, f"wide{n}" if n % 2 else f"one{n}")
        for n in range(12)
    ]
    for future in many:
        future.result()
    with open(log) as file:
        lines = file.read().splitlines()
    for at, line in enumerate(lines):
        if line.startswith("wide") and line.endswith(" in"):
            assert lines[at + 1] == line.replace(" in", " out"), lines


@pytest.mark.parametrize(
    "options",
    [{"cpus": 0}, {"cpus": 3}, {"retries": -1}, {"time_limit": -1}, {"time_limit": float("nan")}],
)
def test_options_that_make_no_sense_are_refused(
    ex: covey.Executor, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        ex.with_options(**options)


async def test_asyncio_waits_for_a_call_and_hears_its_exception() -> None:
    import asyncio

    from covey import aio

    try:
        assert await aio.run(pow, 2, 8) == 256
        with pytest.raises(ZeroDivisionError):
            await aio.run(divmod, 1, 0)
        assert await asyncio.gather(*(aio.run(abs, -n) for n in range(50))) == list(range(50))
        task = asyncio.create_task(aio.run(time.sleep, 30))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await aio.run(abs, -1) == 1
    finally:
        aio.executor().shutdown()
        aio._executors.clear()  # pyright: ignore[reportPrivateUsage]
