"""Exceptions, deaths, limits: a task that fails harms nobody else."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import pytest

import covey
from covey.agent.proctree import identify
from covey.errors import ResultTooLarge, TaskCrashed, TaskFailed, TaskTimeout, Unpicklable
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: How often others may have the processor in the moment that is measured.
TRIES = 40


class TwoWords(Exception):
    """It pickles, and cannot be made again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


def fail_deep_down(text: str) -> NoReturn:
    raise LookupError(text)


def test_an_exception_comes_back_as_itself_with_the_remote_lines(ex: covey.Executor) -> None:
    def outer() -> None:
        fail_deep_down("no such thing")

    error = ex.submit(outer).exception()
    assert isinstance(error, LookupError)
    assert error.args == ("no such thing",)
    printed = "".join(traceback.format_exception(error))
    assert "in outer" in printed
    assert "raise LookupError(text)" in printed
    assert "test_executor_failures.py" in str(error.__cause__)


def test_an_exception_that_cannot_be_made_again_is_told_with_its_text(ex: covey.Executor) -> None:
    def broken() -> None:
        raise TwoWords("one", "two")

    error = ex.submit(broken).exception()
    assert isinstance(error, TaskFailed)
    assert str(error) == "TwoWords: one two"
    assert "raise TwoWords" in str(error.__cause__)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(4)])
def test_what_ends_programs_fails_its_task_only(ex: covey.Executor, error: BaseException) -> None:
    def leave() -> None:
        raise error

    future = ex.submit(leave)
    assert type(future.exception()) is type(error)
    assert ex.submit(abs, -1).result() == 1


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (lambda: os._exit(7), "exit status 7"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: ctypes.string_at(0), "SIGSEGV"),
        (lambda: os.abort(), "SIGABRT"),
    ],
)
def test_a_child_that_dies_fails_its_own_task_only(ex: covey.Executor, how: Any, said: str) -> None:
    others = [ex.submit(abs, -n) for n in range(50)]
    dying = ex.submit(how)
    others += [ex.submit(abs, -n) for n in range(50, 100)]
    with pytest.raises(TaskCrashed, match=said):
        dying.result()
    assert [future.result() for future in others] == list(range(100))


def test_a_task_that_fails_is_started_again_as_often_as_asked(
    ex: covey.Executor, tmp_path: Path
) -> None:
    def flaky(path: str, good: int) -> int:
        with open(path, "a") as file:
            file.write("x")
        starts = os.path.getsize(path)
        if starts < good:
            if starts % 2:
                raise ValueError(starts)
            os._exit(1)
        return starts

    assert ex.with_options(retries=2).submit(flaky, str(tmp_path / "a"), 3).result() == 3
    with pytest.raises(TaskCrashed):
        ex.with_options(retries=1).submit(flaky, str(tmp_path / "b"), 4).result()
    assert (tmp_path / "b").stat().st_size == 2
    assert list(ex.with_options(retries=2).map(flaky, [str(tmp_path / "c")], [3])) == [3]


def test_a_task_over_its_time_is_killed_and_its_slot_is_free(ex: covey.Executor) -> None:
    limited = ex.with_options(time_limit=0.2)
    late = [limited.submit(time.sleep, 60) for _ in range(2)]
    begun = time.monotonic()
    for future in late:
        with pytest.raises(TaskTimeout):
            future.result(20)
    assert ex.submit(abs, -1).result() == 1
    assert time.monotonic() - begun < 30


def test_the_limit_counts_for_each_call_of_a_map(ex: covey.Executor) -> None:
    results = ex.with_options(time_limit=4).map(time.sleep, [0.001] * 200 + [60])
    assert [next(results) for _ in range(200)] == [None] * 200
    with pytest.raises(TaskTimeout):
        next(results)


def test_cancel_kills_a_running_task_and_what_it_started(
    ex: covey.Executor, tmp_path: Path
) -> None:
    def nest(path: str) -> None:
        child = subprocess.Popen(["sleep", "1000"])
        with open(path + ".part", "w") as file:
            file.write(f"{os.getpid()} {child.pid}")
        os.rename(path + ".part", path)
        child.wait()

    path = tmp_path / "pids"
    future = ex.submit(nest, str(path))
    wait_until(path.exists)
    pids = [int(word) for word in path.read_text().split()]
    assert future.cancel()
    wait_until(lambda: not any(identify(pid) for pid in pids), describe=lambda: pids)


def test_cancel_reaches_a_task_that_sleeps_in_c_and_ignores_signals(ex: covey.Executor) -> None:
    def deaf() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        ctypes.CDLL(None).sleep(1000)

    both = [ex.submit(deaf), ex.submit(deaf)]
    wait_until(lambda: all(future.running() for future in both))
    for future in both:
        assert future.cancel()
    assert ex.submit(abs, -1).result(20) == 1


def test_the_slot_of_a_cancelled_task_is_free_at_once(ex: covey.Executor) -> None:
    best = 60.0
    for _ in range(TRIES):
        both = [ex.submit(time.sleep, 60) for _ in range(2)]
        wait_until(lambda both=both: all(future.running() for future in both))
        begun = time.monotonic()
        for future in both:
            future.cancel()
        assert ex.submit(abs, -1).result() == 1
        best = min(best, time.monotonic() - begun)
        # The claim is 20 ms, 3 on an idle machine; this is the guard of ten times that.
        if best < 0.2:
            break
    assert best < 0.2, best


def test_an_argument_that_cannot_be_sent_is_named(ex: covey.Executor) -> None:
    future = ex.submit(print, 1, threading.Lock())
    with pytest.raises(Unpicklable, match=r"argument 2 \(lock\) cannot be sent"):
        future.result()
    with pytest.raises(TypeError, match=r"argument key= \(lock\)"):
        ex.submit(dict, key=threading.Lock()).result()
    results = ex.map(str, [1, threading.Lock()])
    with pytest.raises(Unpicklable, match=r"item 2"):
        list(results)
    assert ex.submit(abs, -1).result() == 1


def test_a_function_that_cannot_be_sent_is_named(ex: covey.Executor) -> None:
    lock = threading.Lock()

    def closes_over_a_lock() -> bool:
        return lock.locked()

    with pytest.raises(Unpicklable, match="closes_over_a_lock cannot be sent"):
        ex.submit(closes_over_a_lock).result()
    with pytest.raises(Unpicklable, match="closes_over_a_lock cannot be sent"):
        ex.map(closes_over_a_lock, [])


def test_a_result_that_cannot_be_sent_is_refused_with_a_sentence(ex: covey.Executor) -> None:
    def numbers() -> Any:
        yield 1

    with pytest.raises(Unpicklable, match=r"result \(a generator\).*Return plain data instead"):
        ex.submit(numbers).result()
    with pytest.raises(Unpicklable, match="lock"):
        ex.submit(threading.Lock).result()


def test_a_result_that_cannot_be_read_here_fails_its_task_only(ex: covey.Executor) -> None:
    class Poison:
        def __reduce__(self) -> tuple[Any, ...]:
            return _explode, ()

    with pytest.raises(SystemExit):
        ex.submit(Poison).result()
    assert ex.submit(abs, -1).result() == 1


def _explode() -> NoReturn:
    raise SystemExit(9)


def test_large_arguments_and_results_travel(ex: covey.Executor) -> None:
    data = os.urandom(10_000_000)
    both = [ex.submit(bytes.upper, data) for _ in range(2)]
    assert [future.result() for future in both] == [data.upper()] * 2
    for size in (65_535, 65_536, 65_537, 600_000):
        assert ex.submit(len, bytes(size)).result() == size
        assert ex.submit(bytes, size).result() == bytes(size)


def test_a_result_over_the_limit_is_refused_with_a_remedy(ex: covey.Executor) -> None:
    def lower_the_limit_and_return() -> bytes:
        from covey.agent import calls

        calls.RESULT_MAX_BYTES = 1000  # pyright: ignore
        return bytes(2000)

    with pytest.raises(ResultTooLarge, match="Write it to a file and return its path"):
        ex.submit(lower_the_limit_and_return).result()


def test_deep_recursion_in_a_task_is_its_own_failure(ex: covey.Executor) -> None:
    def down(n: int) -> int:
        return down(n + 1)

    with pytest.raises(RecursionError):
        ex.submit(down, 0).result()


def test_what_a_task_prints_appears_where_the_program_prints(tmp_path: Path) -> None:
    script = tmp_path / "printing.py"
    script.write_text(
        "import covey, os, sys\n"
        "def speak(n):\n"
        "    print('out', n); print('err', n, file=sys.stderr); os.system('echo sub')\n"
        "with covey.Executor(1, local=True) as ex:\n"
        "    [ex.submit(speak, n).result() for n in range(2)]\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True, timeout=COMMAND_MAX_S
    )
    assert sorted(done.stdout.split("\n")[:-1]) == ["out 0", "out 1", "sub", "sub"]
    assert done.stderr == "err 0\nerr 1\n"
