"""The row about least-loaded scheduling: loads fall as tasks end, machines come and go."""

import subprocess
from collections import Counter

import pytest
from tests.conformance.conftest import COMMAND_LIMIT_S, CommandLine

from covey.testing.waiting import wait_until

TASKS = tuple(str(number) for number in range(20))


class Held:
    """A `covey map --policy LEAST_LOADED` whose tasks on one machine wait for a gate."""

    def __init__(self, covey: CommandLine, machine: str) -> None:
        self._ran, self._gate = covey.directory / "ran", covey.directory / "gate"
        self._ran.touch()
        wait = f"[ $COVEY_MACHINE = {machine} ] && while [ ! -e {self._gate} ]; do sleep 0.02; done"
        command = f"echo $COVEY_MACHINE >> {self._ran}; {wait}; : {{}}"
        self._map = covey.start("map", "--policy", "LEAST_LOADED", command, ":::", *TASKS)

    @property
    def starts(self) -> Counter[str]:
        """On each machine."""
        return Counter(self._ran.read_text().split())

    def await_starts(self, machine: str, count: int) -> None:
        """Wait until so many began there."""
        wait_until(
            lambda: self.starts[machine] >= count,
            describe=lambda: self.starts,
            timeout_s=COMMAND_LIMIT_S,
        )

    def end(self) -> int:
        """Open the gate; the exit code."""
        self._gate.touch()
        return _code(self._map)


def _code(process: subprocess.Popen[bytes]) -> int:
    return process.wait(COMMAND_LIMIT_S)


@pytest.mark.row(21)
def test_what_one_machine_does_not_get_done_goes_to_the_one_that_does(covey: CommandLine):
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    held = Held(covey, "local2")
    # Two are bound ahead for the slot that stands still: one runs there, one waits behind it.
    held.await_starts("local1", len(TASKS) - 2)
    held.await_starts("local2", 1)
    assert held.end() == 0
    assert held.starts == {"local1": len(TASKS) - 2, "local2": 2}


@pytest.mark.row(21)
def test_the_quicker_machine_gets_more_by_measured_speed(covey: CommandLine):
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    ran = covey.directory / "ran"
    # Long enough to be longer than the start of a process on a loaded machine.
    command = f"echo $COVEY_MACHINE >> {ran}; [ $COVEY_MACHINE = local1 ] || sleep 3; : {{}}"
    done = covey("map", "--policy", "LEAST_LOADED", command, ":::", *TASKS)
    assert done.code == 0, done.err
    shares = Counter(ran.read_text().split())
    assert shares["local1"] > 2 * shares["local2"]


@pytest.mark.row(21)
def test_a_machine_that_joins_late_gets_its_share(covey: CommandLine):
    assert covey("up", "--local", "1", "--slots", "1").code == 0
    held = Held(covey, "local1")
    held.await_starts("local1", 1)
    assert covey("up", "--local", "2").code == 0
    held.await_starts("local2", len(TASKS) - 2)
    assert held.end() == 0
    assert held.starts == {"local1": 2, "local2": len(TASKS) - 2}


@pytest.mark.row(21)
def test_what_a_machine_had_that_leaves_runs_on_the_others(covey: CommandLine):
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    held = Held(covey, "local2")
    held.await_starts("local1", len(TASKS) - 2)
    held.await_starts("local2", 1)
    left = covey("down", "local2")
    assert left.code == 0, left.err
    # The gate stays closed: nothing of it is needed any more.
    held.await_starts("local1", len(TASKS))
    assert held.end() == 0
    assert held.starts == {"local1": len(TASKS), "local2": 1}
