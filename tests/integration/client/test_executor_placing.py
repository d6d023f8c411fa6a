"""Executor(policy=…) and with_options(labels=…): where calls go, and before whom."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import covey
from covey.errors import JobRejected, UsageError
from covey.model.policy import POLICIES
from covey.testing.cluster import Lab
from covey.testing.faults import ClusterParts
from covey.testing.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        for name in ("COVEY_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, made.env[name])
        yield made


@pytest.fixture
def cluster(lab: Lab) -> Iterator[ClusterParts]:
    with lab.cluster(machines=3, groups=["gpu=local1,local2"]) as parts:
        yield parts


def machine(_: object = None) -> str:
    return os.environ["COVEY_MACHINE"]


class Gate:
    """Calls that note that they began, and end when the gate is opened."""

    def __init__(self, directory: Path) -> None:
        self._opened = directory / "gate"
        self._begun = directory / "begun"

    def hold(self, number: int) -> int:
        with self._begun.open("a") as file:
            file.write(f"{number}\n")
        while not self._opened.exists():
            time.sleep(0.02)
        return number

    def starts(self) -> list[str]:
        return self._begun.read_text().split() if self._begun.exists() else []

    def open(self) -> None:
        self._opened.touch()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("durable", [False, True])
def test_options_of_a_view_decide_where_its_calls_run(
    lab: Lab, cluster: ClusterParts, durable: bool
) -> None:
    with covey.Executor(durable=durable) as executor:
        gpu = executor.with_options(labels="gpu")
        assert set(gpu.map(machine, range(12))) <= {"local1", "local2"}
        assert gpu.with_options(avoid="local1").submit(machine).result() == "local2"
        assert set(executor.with_options(avoid=["@gpu"]).map(machine, range(4))) == {"local3"}
        named = executor.with_options(machines=["local3"], priority=3)
        assert named.submit(machine).result() == "local3"
        # The executor itself is as it was.
        assert executor.submit(machine).result() in {"local1", "local2", "local3"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("durable", [False, True])
def test_what_no_machine_may_run_is_said_at_once_unless_it_waits(
    lab: Lab, cluster: ClusterParts, durable: bool
) -> None:
    with covey.Executor(durable=durable) as executor:
        tpu = executor.with_options(labels=["tpu"])
        for future in [tpu.submit(machine) for _ in range(3)]:
            with pytest.raises(JobRejected, match="no machine has the label tpu"):
                future.result()
        with pytest.raises(JobRejected, match="there is no machine lab9"):
            list(executor.with_options(machines="lab9").map(machine, range(3)))
        misspelt = (
            executor.with_options(avoid="lcal1"),
            executor.with_options(machines=["local2", "lcal1"]),
        )
        for view in misspelt:
            with pytest.raises(JobRejected, match="no machine lcal1: did you mean local1"):
                view.submit(machine).result()
        waiting = tpu.with_options(wait=True).submit(machine)
        # What is refused or waits holds nobody else up.
        assert executor.submit(machine).result().startswith("local")
        assert not waiting.done()
        assert lab("up", "--group", "tpu=local2").returncode == 0
        assert waiting.result(60) == "local2"
        # Now there is one, it is accepted as well.
        wait_until(lambda: tpu.submit(machine).exception() is None, timeout_s=60)


@pytest.mark.timeout(300)
def test_so_many_workers_are_so_many_calls_at_once(
    lab: Lab, cluster: ClusterParts, tmp_path: Path
) -> None:
    gate = Gate(tmp_path)
    with covey.Executor(2) as executor, covey.Executor() as other:
        held = [executor.submit(gate.hold, n) for n in range(6)]
        wait_until(lambda: len(gate.starts()) == 2, describe=gate.starts, timeout_s=60)
        # It is not for want of slots that the others wait.
        assert other.submit(machine).result(60).startswith("local")
        assert gate.starts() == ["0", "1"] or gate.starts() == ["1", "0"]
        # One that waits may be cancelled; one that ends lets another start.
        assert held[2].cancel()
        assert held[0].cancel()
        wait_until(lambda: len(gate.starts()) == 3, describe=gate.starts, timeout_s=60)
        assert gate.starts()[2] == "3"
        gate.open()
        assert [held[n].result(60) for n in (1, 3, 4, 5)] == [1, 3, 4, 5]
        assert list(executor.map(abs, range(-3000, 0))) == list(range(3000, 0, -1))


@pytest.mark.timeout(300)
def test_a_call_that_is_too_large_for_every_machine_is_told_and_waits(
    lab: Lab, cluster: ClusterParts, caplog: pytest.LogCaptureFixture
) -> None:
    with covey.Executor() as executor:
        large = executor.with_options(cpus=64, wait=True).submit(machine)
        told = "1 call waits: needs 64 slots at once, and the largest machine, local"
        wait_until(lambda: told in caplog.text, describe=lambda: caplog.text, timeout_s=60)
        # It is told once, and keeps nobody else from running.
        assert executor.submit(machine).result(60).startswith("local")
        assert caplog.text.count(told) == 1
        assert large.cancel()


@pytest.mark.timeout(300)
def test_a_shutdown_that_cancels_does_not_wait_for_machines_that_never_come(
    lab: Lab, cluster: ClusterParts
) -> None:
    executor = covey.Executor()
    assert executor.submit(abs, -1).result(60) == 1
    waiting = executor.with_options(machines="lab9", wait=True).submit(machine)
    executor.shutdown(cancel_futures=True)
    assert waiting.cancelled()


@pytest.mark.timeout(300)
def test_every_policy_gives_every_result(lab: Lab, cluster: ClusterParts) -> None:
    for policy in POLICIES:
        with covey.Executor(policy=policy.lower()) as executor:
            assert list(executor.map(abs, range(-30, 0), chunksize=3)) == list(range(30, 0, -1))
            futures = [executor.submit(abs, -n) for n in range(20)]
            assert [future.result() for future in futures] == list(range(20))
    with covey.Executor(probe_ratio="auto", cancellation=False) as executor:
        assert list(executor.map(abs, range(10))) == list(range(10))


@pytest.mark.timeout(300)
def test_an_urgent_call_that_may_preempt_does_not_wait_for_others(
    lab: Lab, cluster: ClusterParts
) -> None:
    gate = Gate(lab.directory)
    with covey.Executor() as executor, covey.Executor(priority=5, preempt=True) as urgent:
        slow = [executor.submit(gate.hold, n) for n in range(3)]
        try:
            wait_until(lambda: len(gate.starts()) == 3, describe=gate.starts, timeout_s=60)
            # All slots are taken, and nothing ends before the gate opens.
            assert urgent.submit(machine).result(60).startswith("local")
            wait_until(lambda: len(gate.starts()) == 4, describe=gate.starts, timeout_s=60)
        finally:
            gate.open()
        assert [future.result(60) for future in slow] == [0, 1, 2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("policy", ["RANDOM", "LEAST_LOADED", "BATCH"])
def test_an_urgent_call_that_is_bound_early_stops_one_that_runs_again(
    lab: Lab, cluster: ClusterParts, policy: str
) -> None:
    gate = Gate(lab.directory)
    with covey.Executor(policy=policy) as executor:
        # Many more than are bound ahead for three slots: these must not keep the urgent one out.
        slow = [executor.submit(gate.hold, n) for n in range(1000)]
        urgent = executor.with_options(priority=5, preempt=True)
        try:
            wait_until(lambda: len(gate.starts()) == 3, describe=gate.starts, timeout_s=60)
            assert urgent.submit(machine).result(60).startswith("local")
            # The slot that it took is free again: a call that waited there begins.
            wait_until(lambda: len(gate.starts()) == 4, describe=gate.starts, timeout_s=60)
        finally:
            gate.open()
        assert [future.result(120) for future in slow] == list(range(1000))
        # One was stopped and began twice; its start did not count, for there are no retries.
        assert len(gate.starts()) == 1001


@pytest.mark.timeout(300)
def test_a_spread_view_runs_one_call_at_once_on_each_machine(lab: Lab) -> None:
    inside = lab.directory / "inside"
    inside.mkdir()

    def alone(_: int) -> bool:
        path = inside / machine()
        try:
            path.mkdir()
        except FileExistsError:
            return False
        time.sleep(0.05)
        path.rmdir()
        return True

    with lab.cluster(machines=2, slots=2), covey.Executor() as executor:
        assert all(executor.with_options(spread=True).map(alone, range(12)))


@pytest.mark.timeout(300)
def test_a_user_may_ask_for_what_the_table_of_the_cluster_allows(lab: Lab) -> None:
    (lab.directory / "covey.toml").write_text("[users]\nalice = {priorities = [0, 5]}\n")
    with lab.cluster(machines=1):
        for durable in (False, True):
            with covey.Executor(user="alice", priority=5, durable=durable) as executor:
                assert executor.submit(abs, -1).result() == 1
                refused = executor.with_options(priority=6).submit(abs, -1)
                with pytest.raises(JobRejected, match="alice: it may use 0 to 5"):
                    refused.result()
        with covey.Executor(user="bob", priority=1) as executor:
            bob = executor.submit(abs, -1)
        with pytest.raises(JobRejected, match="bob: it may use at most 0"):
            bob.result()


def test_on_this_machine_alone_there_is_no_label(lab: Lab) -> None:
    with covey.Executor(2, priority=3, policy="BATCH") as executor:
        with pytest.raises(JobRejected, match="no machine has the label gpu"):
            executor.with_options(labels="gpu").submit(abs, -1).result()
        with pytest.raises(JobRejected, match="none can join it"):
            executor.with_options(machines="lab1", wait=True).submit(abs, -1).result()
        assert executor.with_options(preempt=True, spread=True).submit(abs, -2).result() == 2


def test_a_wrong_knob_is_refused_before_anything_starts(lab: Lab) -> None:
    with pytest.raises(UsageError, match="did you mean BATCH"):
        covey.Executor(policy="BATHC")
    with pytest.raises(TypeError, match="did you mean priority"):
        covey.Executor(prioriti=3)  # pyright: ignore[reportCallIssue]
    assert lab.left() == []
