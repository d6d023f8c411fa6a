"""The row about many schedulers: a frontend with a list of them goes on when one dies."""

import subprocess
import sys
from pathlib import Path

import pytest

from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

#: Longest that the program may take on a loaded machine.
PROGRAM_MAX_S = 120.0
#: Two schedulers of their own and a shared one with its successor, all on one cluster.
PROGRAM = """
import os, sys, time, covey
def work(n):
    with open("starts", "a") as file:
        file.write(f"{n}\\n")
    while not os.path.exists("gate"):
        time.sleep(0.01)
    return n * n
def on_failover(in_flight):
    print("in flight", len(in_flight), flush=True)
    return sys.argv[1]
own = [covey.Executor() for _ in range(2)]
print([one.submit(pow, 2, 5).result() for one in own], flush=True)
with covey.Executor(schedulers=["s1", "s2"], on_failover=on_failover) as executor:
    ended = [executor.submit(abs, -n) for n in range(5)]
    print(sum(one.result() for one in ended), flush=True)
    held = [executor.submit(work, n) for n in range(2)]
    for one in held:
        error = one.exception()
        print(type(error).__name__ if error else one.result(), flush=True)
"""


@pytest.mark.row(13)
@pytest.mark.parametrize("decision", ["relaunch", "partial"])
def test_a_killed_scheduler_is_followed_by_the_next_of_the_list(tmp_path: Path, decision: str):
    with Lab(tmp_path) as lab, lab.cluster(machines=2, slots=2):
        first, _ = _scheduler(lab, "s1"), _scheduler(lab, "s2")
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, decision],
            env=lab.env,
            cwd=lab.directory,
            stdout=subprocess.PIPE,
            text=True,
        )
        starts = lab.directory / "starts"
        wait_until(lambda: _starts(starts) == ["0", "1"], describe=lambda: _starts(starts))
        first.kill()
        if decision == "relaunch":
            wait_until(lambda: len(_starts(starts)) == 4, describe=lambda: _starts(starts))
        (lab.directory / "gate").touch()
        out, _ = program.communicate(timeout=PROGRAM_MAX_S)
        assert program.returncode == 0
        expected = ["0", "1"] if decision == "relaunch" else ["SchedulerLost"] * 2
        assert out.splitlines() == ["[32, 32]", "10", "in flight 2", *expected]
        assert "scheduler s1 was killed" in lab("status").stdout


def _starts(path: Path) -> list[str]:
    return sorted(path.read_text().split()) if path.exists() else []


def _scheduler(lab: Lab, name: str) -> Call:
    call = lab.start("scheduler", "--name", name)
    wait_until(lambda: b"is ready" in call.out, describe=lambda: call.err)
    return call
