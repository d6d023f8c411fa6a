"""Executor(schedulers=…): shared schedulers place the calls, and the next one when one dies."""

import operator
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import pytest
from tests.integration.client.scheduler_site import (
    RESULT_MAX_S,
    Gate,
    Site,
    a_site,
    await_gone,
    go_on,
    seen_by_us,
    stop,
)

import covey
from covey.core import failover
from covey.errors import NotUp, SchedulerLost, UsageError
from covey.testing.leaks import Traces
from covey.testing.waiting import wait_until

Futures = list["futures.Future[int]"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with a_site(tmp_path_factory.mktemp("site")) as site:
        yield site


@pytest.fixture
def site(shared: Site, traces: Traces) -> Iterator[Site]:
    with seen_by_us(shared):
        for name in ("s1", "s2"):
            shared.scheduler(name)
        yield shared


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


def test_calls_go_through_a_scheduler_as_through_any_executor(site: Site) -> None:
    bias = 7
    with covey.Executor(schedulers=["s1"]) as executor:
        sums = executor.map(_plus(bias), range(300))
        assert list(sums) == [n + bias for n in range(300)]
        large = executor.submit(operator.mul, b"x" * 300_000, 4)
        assert large.result(RESULT_MAX_S) == b"x" * 1_200_000
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result(RESULT_MAX_S)
        with pytest.raises(covey.errors.TaskCrashed):
            executor.with_options(retries=1).submit(os._exit, 3).result(RESULT_MAX_S)
        assert executor.job is None


def test_a_cancelled_call_is_stopped(site: Site, gate: Gate) -> None:
    with covey.Executor(schedulers=["s1"]) as executor:
        future = gate.submit(executor, 1)
        gate.await_starts(1)
        assert future.cancel()
        await_gone(*gate.starts(1))


def test_shutdown_cancels_what_has_no_slot_when_asked(site: Site, gate: Gate) -> None:
    executor = covey.Executor(schedulers=["s1"])
    calls = [gate.submit(executor, n) for n in range(12)]
    gate.await_starts(0)
    # It is told a moment after the start; before that, the first call is cancelled as well.
    wait_until(calls[0].running)
    executor.shutdown(wait=False, cancel_futures=True)
    wait_until(lambda: any(call.cancelled() for call in calls))
    gate.open()
    futures.wait(calls, RESULT_MAX_S)
    assert {call.result() for call in calls if not call.cancelled()} >= {0}


def test_when_a_scheduler_is_killed_the_next_one_runs_what_had_not_ended(
    site: Site, gate: Gate
) -> None:
    with covey.Executor(schedulers=["s1", "s2"]) as executor:
        ended = [executor.submit(_started, str(gate.starts_path), n) for n in range(100, 120)]
        futures.wait(ended, RESULT_MAX_S)
        held = [gate.submit(executor, n) for n in range(4)]
        gate.await_starts(*range(4))
        first = [gate.starts(n)[0] for n in range(4)]
        site.kill("s1")
        # Its agents stop what it had granted; the next scheduler grants it anew.
        gate.await_starts(*range(4), count=2)
        await_gone(*first)
        gate.open()
        assert [one.result(RESULT_MAX_S) for one in held] == list(range(4))
        assert executor.submit(abs, -5).result(RESULT_MAX_S) == 5
    assert [one.result() for one in ended] == list(range(100, 120))
    assert all(len(gate.starts(n)) == 1 for n in range(100, 120)), "what had ended ran again"


def test_on_failover_may_let_what_was_in_flight_fail(site: Site, gate: Gate) -> None:
    asked: list[Futures] = []

    def partial(in_flight: Futures) -> str:
        asked.append(in_flight)
        return "partial"

    with covey.Executor(schedulers=["s1", "s2"], on_failover=partial) as executor:
        assert executor.submit(abs, -1).result(RESULT_MAX_S) == 1
        held = [gate.submit(executor, n) for n in range(2)]
        gate.await_starts(0, 1)
        site.kill("s1")
        for one in held:
            with pytest.raises(SchedulerLost, match="s1 does not run any more"):
                one.result(RESULT_MAX_S)
        assert executor.submit(abs, -2).result(RESULT_MAX_S) == 2
    assert asked == [held]
    assert [len(gate.starts(n)) for n in range(2)] == [1, 1]


@pytest.mark.parametrize("answer", ["again", None])
def test_a_wrong_answer_of_on_failover_fails_the_calls_with_a_sentence(
    site: Site, gate: Gate, answer: str | None
) -> None:
    def wrong(in_flight: Futures) -> str:
        if answer is None:
            raise LookupError("of the user")
        return answer

    with covey.Executor(schedulers=["s1", "s2"], on_failover=wrong) as executor:
        held = gate.submit(executor, 1)
        gate.await_starts(1)
        site.kill("s1")
        error = held.exception(RESULT_MAX_S)
    if answer is None:
        assert isinstance(error, SchedulerLost)
        assert isinstance(error.__cause__, LookupError)
    else:
        assert isinstance(error, UsageError)
        assert "'again'" in str(error)


def test_a_scheduler_that_stands_still_is_left_and_not_heard_when_it_goes_on(
    site: Site, gate: Gate
) -> None:
    frozen = site.process("s1")
    with covey.Executor(schedulers=["s1", "s2"]) as executor:
        held = [gate.submit(executor, n) for n in range(2)]
        gate.await_starts(0, 1)
        first = [gate.starts(n)[0] for n in range(2)]
        stop(frozen)
        try:
            gate.await_starts(0, 1, count=2)
        finally:
            go_on(frozen)
        # It hears that nobody wants its job, and has its agents stop what it had granted.
        await_gone(*first)
        gate.open()
        assert [one.result(RESULT_MAX_S) for one in held] == [0, 1]
        assert executor.submit(abs, -5).result(RESULT_MAX_S) == 5
    assert [len(gate.starts(n)) for n in range(2)] == [2, 2]


def test_calls_wait_for_the_only_scheduler_to_be_started_again(site: Site, gate: Gate) -> None:
    gate.open()
    with covey.Executor(schedulers=["s1"]) as executor:
        assert gate.submit(executor, 1).result(RESULT_MAX_S) == 1
        site.kill("s1")
        waiting = gate.submit(executor, 2)
        site.scheduler("s1")
        assert waiting.result(RESULT_MAX_S) == 2


def test_with_no_scheduler_left_calls_fail_and_no_more_are_taken(
    site: Site, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failover, "STRANDED_MAX_S", 1.0)
    executor = covey.Executor(schedulers=["s1"])
    held = gate.submit(executor, 1)
    gate.await_starts(1)
    site.kill("s1")
    with pytest.raises(SchedulerLost, match="covey scheduler --name s1"):
        held.result(RESULT_MAX_S)
    with pytest.raises(SchedulerLost):
        executor.submit(abs, -1)
    executor.shutdown()


def test_what_a_killed_client_had_submitted_is_stopped(site: Site, gate: Gate) -> None:
    program = site.lab.directory / "client.py"
    program.write_text(
        "import os, sys, covey\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "from pathlib import Path\n"
        "from tests.integration.client.scheduler_site import Gate\n"
        f"gate = Gate(Path({str(gate.path.parent)!r}))\n"
        "executor = covey.Executor(schedulers=['s1'])\n"
        "future = gate.submit(executor, 1)\n"
        "gate.await_starts(1)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = _python(site, str(program))
    assert done == -9
    await_gone(*gate.starts(1))


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"schedulers": ["s7"]}, UsageError, r"no scheduler s7 .*\(these run: s1, s2\)"),
        ({"schedulers": ["s1", "s 2"]}, UsageError, "use letters"),
        ({"schedulers": []}, UsageError, "at least one"),
        ({"schedulers": ["s1"], "durable": True}, ValueError, "exclude each other"),
        ({"schedulers": ["s1"], "local": True}, ValueError, "exclude each other"),
        ({"durable": True, "max_workers": 2}, ValueError, "leave max_workers out"),
        ({"on_failover": len}, ValueError, "schedulers="),
        ({"schedulers": ["s1"], "on_failover": "partial"}, TypeError, "must be a function"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(
    site: Site, arguments: dict[str, object], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        covey.Executor(**arguments)  # pyright: ignore[reportArgumentType]


def test_a_scheduler_that_ran_once_is_said_not_to_run(site: Site) -> None:
    site.scheduler("once")
    site.kill("once")
    with pytest.raises(NotUp, match="scheduler once does not run any more"):
        covey.Executor(schedulers=["once"])


def _plus(bias: int) -> Callable[[int], int]:
    return lambda n: n + bias


def _started(starts: str, number: int) -> int:
    with open(starts, "a") as file:
        file.write(f"{number} {os.getpid()}\n")
    return number


def _python(site: Site, *words: str) -> int:
    return subprocess.run(
        [sys.executable, *words], env=site.lab.env, check=False, timeout=RESULT_MAX_S
    ).returncode
