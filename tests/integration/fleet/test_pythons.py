"""Machines on Python 3.11, 3.12 and 3.13 beside a head on one of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.fleet.room import LONG_S, Room, room_of

pytestmark = pytest.mark.timeout(300)

OURS = f"{sys.version_info[0]}.{sys.version_info[1]}"
ALL = ("3.11", "3.12", "3.13")

MODULE = """
import sys, threading

def minor(_):
    # Long enough that no machine takes them all.
    threading.Event().wait(0.05)
    return "%d.%d" % sys.version_info[:2]

def apply(function, x):
    return function(x)
"""
PROGRAM = """
import collections, sys, covey, beside

def told(future):
    try:
        return future.result(100)
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

with covey.Executor() as ex:
    k = 3
    calls = {
        "module": [ex.submit(beside.minor, n) for n in range(60)],
        "closure": [ex.submit(lambda x: (x + k, beside.minor(0))[1], n) for n in range(20)],
        "argument": [ex.submit(beside.apply, lambda x: beside.minor(x), 1) for n in range(20)],
    }
    for kind, futures in calls.items():
        for answer, count in sorted(collections.Counter(map(told, futures)).items()):
            print(kind, count, answer, sep="|")
"""


def _run(room: Room) -> dict[str, dict[str, int]]:
    """What came of each kind of call: answer -> how often."""
    directory = room.lab.directory
    (directory / "beside.py").write_text(MODULE)
    (directory / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(directory / "program.py")],
        capture_output=True,
        text=True,
        cwd=directory,
        env=room.lab.env,
        timeout=2 * LONG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, int]] = {}
    for line in done.stdout.splitlines():
        kind, count, answer = line.split("|", 2)
        found.setdefault(kind, {})[answer] = int(count)
    return found


def test_commands_and_modules_run_on_every_python_and_closures_where_they_can(
    archives: Path,
) -> None:
    with room_of(archives, *ALL) as room:
        machines = room.up(*room.fleet.names)
        assert {".".join(m["python"].split(".")[:2]) for m in machines.values()} == set(ALL)
        done = room.lab("run", "--json", "--", "python3 --version")
        assert done.returncode == 0
        assert all(f"Python {version}." in done.stdout for version in ALL)
        found = _run(room)
        assert set(found["module"]) == set(ALL)
        assert sum(found["module"].values()) == 60
        assert found["closure"] == {OURS: 20}
        # An argument is not looked into before it is sent: a machine may refuse, and says why.
        ran = found["argument"].pop(OURS, 0)
        assert all(text.startswith("Unpicklable: an argument") for text in found["argument"])
        assert ran + sum(found["argument"].values()) == 20


def test_a_closure_that_no_machine_can_run_is_refused_with_a_sentence(archives: Path) -> None:
    other = next(version for version in ALL if version != OURS)
    with room_of(archives, other) as room:
        room.up("lab1")
        found = _run(room)
        assert found["module"] == {other: 60}
        (refusal,) = found["closure"]
        assert f"travels as bytecode of Python {OURS}, but lab1 runs {other}" in refusal
        assert "Put it in a module beside your script" in refusal
        # Nothing crashed: the same child took the next task.
        assert "died" not in refusal
        assert found["closure"][refusal] == 20
