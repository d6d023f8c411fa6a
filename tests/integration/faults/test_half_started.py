"""`up` or a head dies between any two lines of starting something: `up` and `down` cope with it."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.faults.laws import all_succeeded, every_item_is_recorded_once, numbers

from covey.bus import lock
from covey.bus.binary import find_server
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: Far over what any takes, also on a starved machine.
pytestmark = pytest.mark.timeout(300)

#: Started for the second time, it kills whoever starts it, before it becomes what it was told.
DEADLY = """#!/bin/sh
if [ -e {mark} ]; then
    rm {mark}
    kill -KILL $PPID
    {then}
else
    touch {mark}
fi
exec {server} "$@"
"""
#: What has the lock then.
ENDINGS = {"a server": "", "no server": "exec sleep 600", "nobody": "exit 1"}


#: `covey up` that is killed when the directory of an agent is there, or the agent too.
DYING_UP = """
import os, signal, sys
from covey.agent import runtime
from covey.client.cluster import ClusterFiles

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

create = runtime.create
if sys.argv.pop(1) == "directory":
    runtime.create = lambda *args: die(create(*args))
else:
    ClusterFiles.write_agent = die
from covey.cli.main import main
main()
"""


@pytest.fixture(params=list(ENDINGS.values()), ids=list(ENDINGS))
def deadly(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Lab]:
    """A lab whose bus server, started again, kills the head that starts it."""
    program = tmp_path / "server"
    mark = tmp_path / "mark"
    program.write_text(DEADLY.format(mark=mark, then=request.param, server=find_server()))
    program.chmod(0o755)
    with Lab(tmp_path, {"COVEY_NATS_SERVER": str(program)}) as lab:
        yield lab


def test_the_next_up_goes_on_after_a_head_that_died_starting_its_server(deadly: Lab) -> None:
    lab = deadly
    with lab.cluster() as cluster:
        run = lab.map("echo {}", stdin=numbers(100))
        lab.await_done(1, 1)
        head = cluster.head
        assert head is not None
        faults.kill(cluster.server)
        wait_until(lambda: not faults.is_alive(head))
        lab.up()
        run.wait()
        lab("attach", "1")
        all_succeeded(every_item_is_recorded_once(lab, 100))


def test_down_leaves_nothing_of_a_head_that_died_starting_its_server(deadly: Lab) -> None:
    lab = deadly
    with lab.cluster() as cluster:
        head = cluster.head
        assert head is not None
        faults.kill(cluster.server)
        wait_until(lambda: not faults.is_alive(head))
    assert not lock.is_held(lab.state_dir / "bus")


@pytest.mark.parametrize("there", ["directory", "agent"])
def test_what_an_up_that_was_killed_had_begun_goes_with_down(lab: Lab, there: str) -> None:
    _die(lab, there)
    assert lab("down").returncode == 0


@pytest.mark.parametrize("there", ["directory", "agent"])
def test_after_an_up_that_was_killed_the_next_one_works(lab: Lab, there: str) -> None:
    _die(lab, there)
    with lab.cluster() as cluster:
        assert len(cluster.agents) == 2


def _die(lab: Lab, there: str) -> None:
    words = [there, "up", "--local", "2", "--slots", "1"]
    done = subprocess.run(
        [sys.executable, "-c", DYING_UP, *words],
        env=lab.env,
        cwd=lab.directory,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == -signal.SIGKILL
