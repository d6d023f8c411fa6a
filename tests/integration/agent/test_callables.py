"""Callables in slot children: values, failures, deaths, and what they find around them."""

import asyncio
import os
import pickle
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.agent.rig import FAILED, SUCCEEDED, Rig, call, calls, function

from covey.errors import ResultTooLarge, Unpicklable
from covey.model.task import OutcomeState
from covey.testing.waiting import COMMAND_MAX_S, happens

CRASHED, RETURNED = OutcomeState.CRASHED, OutcomeState.RETURNED
CANCELLED, TIMED_OUT = OutcomeState.CANCELLED, OutcomeState.TIMED_OUT


def square(x: int) -> int:
    return x * x


def successor(x: int) -> int:
    return x + 1


def six_by(x: int) -> int:
    return 6 // x


def shout(data: bytes) -> bytes:
    return data + b"!"


def both(a: int, *, b: int) -> tuple[int, int]:
    return a, b


async def test_a_chunk_yields_its_values_in_order(rig: Rig) -> None:
    done = await rig.run(function(square), [call(n) for n in range(256)])
    assert done.values == [n * n for n in range(256)]
    assert done.ids == list(range(1, 257))
    assert set(done.states) == {SUCCEEDED}
    assert [part.is_last for part in done.parts].count(True) == 1


async def test_keywords_arrive(rig: Rig) -> None:
    done = await rig.run(function(both), [call(1, b=2)])
    assert done.values == [(1, 2)]


async def test_a_value_costs_one_byte_more_than_its_pickle(rig: Rig) -> None:
    done = await rig.run(function(lambda: "x"))
    assert done.raw == [b"V" + pickle.dumps("x", 5)]


async def test_a_batch_is_one_task_with_a_list_of_values(rig: Rig) -> None:
    done = await rig.run(function(successor), [calls((1,), (2,), (3,))])
    assert done.values == [[2, 3, 4]]


async def test_a_batch_stops_at_the_first_exception_and_keeps_what_it_had(rig: Rig) -> None:
    done = await rig.run(function(six_by), [calls((3,), (2,), (0,), (1,))])
    assert done.state is FAILED
    assert done.values == [[2, 3]]
    assert done.report.error is not None
    assert done.report.error[0] == "ZeroDivisionError"


async def test_an_exception_travels_as_itself_and_with_its_traceback(rig: Rig) -> None:
    def broken(x: int) -> None:
        raise KeyError(x)

    done = await rig.run(function(broken), [call(5), call(6)])
    assert done.states == [FAILED, FAILED]
    report = done.reports[0]
    assert report.error is not None
    name, text, trace = report.error
    assert (name, text) == ("KeyError", "5")
    assert "in broken" in trace
    assert "calls.py" not in trace
    error = pickle.loads(report.error_pickle)
    assert isinstance(error, KeyError)
    assert error.args == (5,)


async def test_an_exception_that_cannot_be_made_again_travels_as_text(rig: Rig) -> None:
    def broken() -> None:
        class Odd(Exception):
            def __init__(self, a: int, b: int) -> None:
                super().__init__(f"{a} and {b}")

        raise Odd(1, 2)

    report = (await rig.run(function(broken))).report
    assert report.error_pickle == b""
    assert report.error is not None
    assert report.error[1] == "1 and 2"


@pytest.mark.parametrize("raised", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_what_ends_programs_is_a_failure_of_the_task_only(
    rig: Rig, raised: BaseException
) -> None:
    def leave(error: BaseException) -> None:
        raise error

    done = await rig.run(function(leave), [call(raised)])
    assert done.state is FAILED
    assert type(pickle.loads(done.report.error_pickle)) is type(raised)
    assert await rig.once(lambda: "on") == "on"


async def test_a_result_that_cannot_be_pickled_is_named(rig: Rig) -> None:
    done = await rig.run(function(threading.Lock))
    assert done.state is FAILED
    error = pickle.loads(done.report.error_pickle)
    assert isinstance(error, Unpicklable)
    assert "lock" in str(error)
    assert isinstance(error, TypeError)


async def test_a_result_over_the_limit_is_refused_with_a_remedy(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shrink_and_return() -> bytes:
        from covey.agent import calls

        calls.RESULT_MAX_BYTES = 1000  # pyright: ignore
        return b"x" * 2000

    done = await rig.run(function(shrink_and_return))
    error = pickle.loads(done.report.error_pickle)
    assert isinstance(error, ResultTooLarge)
    assert "Write it to a file" in str(error)


async def test_a_closure_and_a_class_of_the_program_come_back_as_themselves(rig: Rig) -> None:
    class Point:
        def __init__(self, x: int) -> None:
            self.x = x

    offset = 4
    point = await rig.once(lambda: Point(offset))
    assert point.x == 4
    assert isinstance(point, Point)


async def test_large_arguments_and_results_pass(rig: Rig) -> None:
    big = os.urandom(3_000_000)
    done = await rig.run(function(shout), [call(big), call(b""), call(big[:200_000])])
    assert done.values == [big + b"!", b"!", big[:200_000] + b"!"]


async def test_results_do_not_wait_for_a_slow_task_behind_them(rig: Rig) -> None:
    def work(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    done = rig.start(function(work), [call(0.0), call(0.0), call(60.0)])
    await happens(lambda: len(done.states) == 2)
    rig.slots.kill(1, [3])
    await rig.over(done)
    assert done.states == [SUCCEEDED, SUCCEEDED, CANCELLED]


async def test_no_function_no_task_but_a_reason(rig: Rig) -> None:
    from covey.model.context import CallContext, encode_context

    context = encode_context(CallContext(b"cno_such_module\nf\n.", sys_path=list(sys.path)))
    done = await rig.run(context, [call(), call()])
    assert done.states == [FAILED, FAILED]
    assert done.reports[1].error is not None
    assert done.reports[1].error[0] == "ModuleNotFoundError"


# ---------------------------------------------------------------- surroundings


async def test_a_call_finds_the_state_that_its_context_asks_for(rig: Rig) -> None:
    def look() -> tuple[Any, ...]:
        import __main__

        return (
            os.getcwd(),
            os.environ["A"],
            os.environ["COVEY_JOB_ID"],
            os.environ["COVEY_MACHINE"],
            os.environ["COVEY_SLOT"],
            sys.argv,
            __main__.__file__,
            sys.path[0],
            sys.stdin.read(),
        )

    here = str(rig.directory)
    context = function(
        look,
        cwd=here,
        env={"A": "b", "PATH": os.environ["PATH"]},
        argv=["prog", "-x"],
        main_path="/x/prog.py",
        sys_path=[here, *sys.path],
    )
    done = await rig.run(context)
    assert done.values == [(here, "b", "7", "here", "1", ["prog", "-x"], "/x/prog.py", here, "")]


async def test_jobs_do_not_see_each_others_modules(rig: Rig) -> None:
    for job, text in ((1, "one"), (2, "two"), (1, "one")):
        directory = rig.directory / text
        directory.mkdir(exist_ok=True)
        (directory / "beside.py").write_text(f"NAME = {text!r}")

        def look() -> str:
            import beside  # pyright: ignore

            return beside.NAME  # pyright: ignore

        context = function(look, sys_path=[str(directory), *sys.path])
        assert (await rig.run(context, job=job)).values == [text]


async def test_the_child_of_a_job_stays_warm(rig: Rig) -> None:
    pids = [(await rig.run(function(os.getpid), job=job)).values[0] for job in (1, 2, 1, 2, 1)]
    assert len(set(pids)) == 2
    rig.slots.forget("s", 1)
    await happens(lambda: pids[0] not in rig.children())


async def test_idle_children_do_not_grow_without_end(rig: Rig) -> None:
    for job in range(12):
        await rig.run(function(int), job=job)
    await happens(lambda: len(rig.children()) <= 4, describe=rig.children)


async def test_user_code_sees_none_of_our_descriptors_in_what_it_starts(rig: Rig) -> None:
    def look() -> str:
        return subprocess.run(
            ["ls", "/proc/self/fd"],
            capture_output=True,
            text=True,
            check=True,
            close_fds=False,
            timeout=COMMAND_MAX_S,
        ).stdout

    # 0, 1, 2 and the directory itself.
    assert (await rig.once(look)).split() == ["0", "1", "2", "3"]


async def test_a_copy_forked_by_user_code_does_not_speak_for_the_child(rig: Rig) -> None:
    def fork(n: int) -> int:
        pid = os.fork()
        if not pid:
            # A copy that simply returns must not run the rest of the chunk a second time.
            if n == 2:
                sys.exit(5)
            return -1
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    done = await rig.run(function(fork), [call(1), call(2), call(3)])
    assert done.values == [0, 5, 0]


async def test_multiprocessing_works_inside_a_task(rig: Rig) -> None:
    def work() -> list[int]:
        import multiprocessing

        with multiprocessing.get_context("fork").Pool(2) as pool:
            return pool.map(abs, [-1, -2, -3])

    assert await rig.once(work) == [1, 2, 3]


async def test_what_a_dead_child_had_started_ends(rig: Rig) -> None:
    def start() -> int:
        pid = subprocess.Popen(["sleep", "61"], start_new_session=True).pid
        Path(os.environ["FLAG"]).write_text(str(pid))
        time.sleep(60)
        return pid

    flag = rig.directory / "flag"
    done = rig.start(function(start), env={"FLAG": str(flag)})
    await happens(lambda: flag.exists() and flag.read_text())
    rig.slots.kill(1, [1])
    await rig.over(done)
    await happens(lambda: not Path(f"/proc/{flag.read_text()}").exists())


async def test_prints_are_kept_where_that_is_asked(rig: Rig) -> None:
    def work(text: str) -> int:
        print(text)  # noqa: T201
        subprocess.run(["sh", "-c", f"echo err-{text} >&2"], check=True, timeout=COMMAND_MAX_S)
        return 1

    done = await rig.run(function(work), [call("a"), call("b")], capture=True)
    assert done.values == [1, 1]
    assert [(r.out, r.err) for r in done.reports] == [(b"a\n", b"err-a\n"), (b"b\n", b"err-b\n")]
    assert done.reports[0].slot == 1
    assert done.reports[0].ended >= done.reports[0].started > 0


async def test_two_slots_run_at_once(rig: Rig, tmp_path: Path) -> None:
    def meet(mine: str, other: str) -> bool:
        """Neither returns in time unless both run at the same time."""
        import pathlib
        import time

        pathlib.Path(mine).touch()
        until = time.monotonic() + 20
        while not pathlib.Path(other).exists() and time.monotonic() < until:
            time.sleep(0.01)
        return pathlib.Path(other).exists()

    one, two = str(tmp_path / "one"), str(tmp_path / "two")
    both = [
        rig.start(function(meet), [call(one, two)], slot=1),
        rig.start(function(meet), [call(two, one)], slot=2),
    ]
    await asyncio.gather(*map(rig.over, both))
    assert [done.values for done in both] == [[True], [True]]


async def test_a_slot_in_use_is_refused(rig: Rig) -> None:
    done = rig.start(function(time.sleep), [call(0.2)])
    with pytest.raises(ValueError, match="slot 1 is in use"):
        rig.start(function(int))
    rig.running[1] = done
    await rig.over(done)
