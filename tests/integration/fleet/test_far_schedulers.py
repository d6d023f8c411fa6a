"""Shared schedulers beside a head on another machine, used from here through ssh."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.fleet.far import begin_on, files_there, head_on
from tests.integration.fleet.room import LONG_S, Room, room_of

from covey.testing.ending import ended, line_of

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
import sys, covey
with covey.Executor(head="lab1", schedulers=["s1", "s2"]) as executor:
    print(sum(executor.map(lambda x: x * x, range(20))), flush=True)
    sys.stdin.readline()
    print(len(executor.submit(bytes, 200_000).result()), executor.submit(pow, 2, 5).result())
"""


def test_calls_go_to_schedulers_of_a_far_head_and_to_the_next_one(archives: Path) -> None:
    with room_of(archives, count=1) as room, head_on(room, "lab1", slots=2):
        there = [_scheduler(room, name) for name in ("s1", "s2")]
        path = room.lab.directory / "program.py"
        path.write_text(PROGRAM)
        program = subprocess.Popen(
            [sys.executable, str(path)],
            env=room.lab.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with ended(program):
            assert line_of(program, timeout_s=LONG_S) == "2470\n"
            os.kill(files_there(room, "lab1").schedulers()["s1"].pid, signal.SIGKILL)
            out, _ = program.communicate("\n", timeout=LONG_S)
        assert (program.returncode, out) == (0, "200000 32\n")
    for one in there:
        one.communicate(timeout=LONG_S)


def _scheduler(room: Room, name: str) -> "subprocess.Popen[bytes]":
    begun = begin_on(room, "lab1", "scheduler", "--name", name)
    assert "is ready" in line_of(begun, timeout_s=LONG_S)
    return begun
