"""Many schedulers on one cluster, none knowing of the others: a machine that dies loses nothing."""

import time
from collections.abc import Iterator
from concurrent import futures
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.integration.client.scheduler_site import (
    RESULT_MAX_S,
    Site,
    a_site,
    await_gone,
    seen_by_us,
)

import covey
from covey.testing import faults
from covey.testing.faults import ClusterParts
from covey.testing.leaks import Traces
from covey.testing.waiting import wait_until

#: Calls of each executor, and how long one takes.
CALLS, WORK_S = 40, 0.1


@pytest.fixture
def site(tmp_path: Path, traces: Traces) -> Iterator[Site]:
    directory = tmp_path / "site"
    directory.mkdir()
    with a_site(directory, machines=3, slots=2) as made, seen_by_us(made):
        yield made


@pytest.mark.timeout(300)
def test_a_machine_that_dies_loses_nothing_of_several_executors_at_once(
    site: Site, tmp_path: Path
) -> None:
    starts = [tmp_path / f"starts-{n}" for n in range(4)]
    for path in starts:
        path.touch()
    site.scheduler("s1")
    with ExitStack() as stack:
        executors = [stack.enter_context(covey.Executor()) for _ in range(3)]
        executors.append(stack.enter_context(covey.Executor(schedulers=["s1"])))
        calls = [
            executor.submit(work, str(path), n)
            for path, executor in zip(starts, executors, strict=True)
            for n in range(CALLS)
        ]
        # Fair shares: each of them has something running.
        for path in starts:
            wait_until(path.read_text, timeout_s=RESULT_MAX_S)
        agent = ClusterParts(site.lab.state_dir).agent("local1")
        died = faults.tree(agent.pid) if agent is not None else []
        faults.kill(agent)
        done, _ = futures.wait(calls, RESULT_MAX_S)
        assert len(done) == len(calls)
    assert [call.result() for call in calls] == list(range(CALLS)) * len(starts)
    await_gone(*(process.pid for process in died))


def work(starts: str, number: int) -> int:
    """A moment of it, so that the machine dies in the midst of some."""
    with open(starts, "a") as file:
        file.write(f"{number}\n")
    time.sleep(WORK_S)
    return number
