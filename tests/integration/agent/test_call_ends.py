"""Slot children that die, are stopped or overrun their time: what becomes of their tasks."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from tests.integration.agent.rig import SUCCEEDED, Rig, call, function

from covey.model.task import OutcomeState
from covey.testing.waiting import happens

CRASHED, RETURNED = OutcomeState.CRASHED, OutcomeState.RETURNED
CANCELLED, TIMED_OUT = OutcomeState.CANCELLED, OutcomeState.TIMED_OUT
#: How often others may have the processor in the moment that is measured.
TRIES = 40


def die_at(task: int, this: int, how: str) -> int:
    if this == task:
        if how == "exit":
            os._exit(3)
        os.kill(os.getpid(), signal.SIGSEGV if how == "segv" else signal.SIGKILL)
    return this


@pytest.mark.parametrize(
    ("how", "text"),
    [("exit", "exit status 3"), ("segv", "signal SIGSEGV"), ("kill", "signal SIGKILL")],
)
async def test_a_dead_child_costs_its_own_task_only(rig: Rig, how: str, text: str) -> None:
    done = await rig.run(function(die_at), [call(3, n, how) for n in range(1, 6)])
    assert done.states == [SUCCEEDED, SUCCEEDED, CRASHED, RETURNED, RETURNED]
    assert done.ids == [1, 2, 3, 4, 5]
    error = done.reports[2].error
    assert error is not None
    assert text in error[1]
    assert await rig.once(lambda: "on") == "on"


async def test_a_context_that_kills_the_child_is_blamed_on_the_first_task(rig: Rig) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os._exit, (9,)

        def __call__(self) -> None: ...

    done = await rig.run(function(Bomb()), [call(), call()])
    assert done.states == [CRASHED, RETURNED]


async def test_a_killed_slot_is_back_at_once(rig: Rig) -> None:
    await rig.slots.start_all()
    best = 1.0
    for _ in range(TRIES):
        done = rig.start(function(time.sleep), [call(30)])
        await happens(lambda: rig.slots.marked_task(1) and rig.slots.read_pid(1))
        os.kill(rig.slots.read_pid(1), signal.SIGKILL)
        began = time.monotonic()
        await rig.over(done)
        await rig.run(function(int))
        best = min(best, time.monotonic() - began)
        # The claim is 20 ms; this is the guard of ten times that, for machines that are shared.
        if best < 0.2:
            break
    assert best < 0.2, best


async def test_an_idle_child_may_be_killed_too(rig: Rig) -> None:
    await rig.run(function(int))
    for pid in rig.children():
        os.kill(pid, signal.SIGKILL)
    await happens(lambda: not rig.children())
    assert await rig.once(lambda: "on") == "on"


async def test_user_code_that_closes_all_descriptors_costs_a_child_and_no_result(rig: Rig) -> None:
    def close_all() -> str:
        os.closerange(3, 4096)
        return "closed"

    done = await rig.run(function(close_all))
    assert done.values == ["closed"]
    assert await rig.once(lambda: "on") == "on"


async def test_a_dead_zygote_is_replaced_and_its_children_end(rig: Rig) -> None:
    done = rig.start(function(time.sleep), [call(60)])
    await happens(lambda: rig.slots.read_pid(1) and rig.slots.marked_task(1) == 1)
    rig.zygote.kill()
    await rig.over(done)
    assert done.state is CRASHED
    assert await rig.once(lambda: "on") == "on"


# ---------------------------------------------------------------- cancel and limits


async def test_cancel_stops_the_running_task_and_strikes_out_the_others(rig: Rig) -> None:
    done = rig.start(function(time.sleep), [call(0), call(60), call(60), call(0)])
    await happens(lambda: rig.slots.marked_task(1) == 2)
    rig.slots.kill(1, [2, 3])
    await rig.over(done)
    assert done.states == [SUCCEEDED, CANCELLED, CANCELLED, RETURNED]


async def test_a_struck_task_does_not_run_and_the_rest_does(rig: Rig, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def work(n: int) -> int:
        while not gate.exists():
            time.sleep(0.01)
        Path(tmp_path / str(n)).touch()
        return n

    done = rig.start(function(work), [call(n) for n in (1, 2, 3)])
    await happens(lambda: rig.slots.marked_task(1) == 1)
    rig.slots.kill(1, [2])
    gate.touch()
    await rig.over(done)
    assert done.states == [SUCCEEDED, CANCELLED, SUCCEEDED]
    assert not (tmp_path / "2").exists()


async def test_a_cancel_that_comes_late_changes_nothing(rig: Rig) -> None:
    done = await rig.run(function(int))
    rig.slots.kill(1, [1])
    assert done.states == [SUCCEEDED]


async def test_cancel_ends_also_what_ignores_sigterm(rig: Rig) -> None:
    def stubborn() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        Path(os.environ["FLAG"]).touch()
        time.sleep(60)

    flag = rig.directory / "flag"
    done = rig.start(function(stubborn), env={"FLAG": str(flag)})
    await happens(flag.exists)
    rig.slots.kill(1, [1])
    await rig.over(done)
    assert done.state is CANCELLED


async def test_a_time_limit_ends_the_task_that_is_over_it(rig: Rig) -> None:
    # Long enough for the first to end in time, on a starved machine too.
    done = await rig.run(function(time.sleep), [call(0), call(60), call(0)], time_limit_s=2.5)
    assert done.states == [SUCCEEDED, TIMED_OUT, RETURNED]
    error = done.reports[1].error
    assert error is not None
    assert "2.5 s" in error[1]


async def test_a_time_limit_is_per_task_not_per_chunk(rig: Rig) -> None:
    done = await rig.run(function(time.sleep), [call(0.8)] * 4, time_limit_s=3.0)
    assert set(done.states) == {SUCCEEDED}


async def test_tasks_are_returned_when_no_zygote_can_live(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("covey.agent.forker._PROGRAM", "raise SystemExit")
    monkeypatch.setattr("covey.agent.slots.FORK_PAUSE_S", 0.05)
    await rig.slots.start_all()
    rig.zygote.kill()
    await happens(lambda: rig.slots.is_broken)
    done = await rig.run(function(int), [call(), call()])
    assert done.states == [RETURNED, RETURNED]


async def test_user_code_that_writes_into_our_socket_loses_its_child_only(rig: Rig) -> None:
    def scribble() -> None:
        for name in os.listdir("/proc/self/fd"):
            path = f"/proc/self/fd/{name}"
            if os.path.lexists(path) and os.readlink(path).startswith("socket:"):
                os.write(int(name), b"garbage!" * 10)
        time.sleep(60)

    done = await rig.run(function(scribble), [call(), call()])
    assert done.states == [CRASHED, RETURNED]
    assert await rig.once(lambda: "on") == "on"
