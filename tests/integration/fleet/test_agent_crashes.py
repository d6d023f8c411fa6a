"""An agent that ends as soon as it was started: told at once, in its own words."""

import os
import signal
from pathlib import Path

import pytest
from tests.integration.fleet.room import room_of
from tests.integration.fleet.site import Site

from covey.errors import BootstrapFailed
from covey.fleet import bootstrap
from covey.head.waiting import READY_MAX_S
from covey.testing.nats import CLUSTER
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

#: A machine whose Python lacks a module that an agent needs first after it has said that it lives.
_LACKING = """\
import select, sys
select.select = lambda *_: ([0], [], [])
sys.modules["asyncio"] = None
"""


def test_an_agent_that_crashes_after_its_start_is_told_in_its_own_words(archives: Path) -> None:
    with room_of(archives) as room:
        home = room.machine("lab1").home
        (home / "python").mkdir()
        (home / "python" / "sitecustomize.py").write_text(_LACKING)
        for name in (".bashrc", ".profile", ".zshrc"):
            (home / name).write_text(f"export PYTHONPATH='{home}/python'\n")
        told = room.up("lab1", code=1)["lab1"]
        assert "the agent ended as soon as it was started" in told["error"]
        assert "import of asyncio halted" in told["error"]
        assert "~/.cache/covey/default/lab1/agent.log" in told["error"]
        assert told["elapsed_s"] < READY_MAX_S
        # It is no part of the cluster, and the head does not stay for nothing.
        assert not room.files.machines()
        (home / "python" / "sitecustomize.py").unlink()
        assert room.up("lab1")["lab1"]["state"] == "started"


def test_whether_an_agent_runs_is_seen_by_its_process(site: Site) -> None:
    agent = site.start()
    bootstrap.check_runs(site.connection, CLUSTER, "lab1", agent.pid)
    os.kill(agent.pid, signal.SIGKILL)
    wait_until(lambda: site.look().state == "absent")
    log = site.machine.home / ".cache/covey" / CLUSTER / "lab1" / "agent.log"
    log.write_text("something\nOSError: no space\n\n")
    with pytest.raises(BootstrapFailed, match=r"OSError: no space \(its log there: ~/\.cache/"):
        bootstrap.check_runs(site.connection, CLUSTER, "lab1", agent.pid)
    log.unlink()
    with pytest.raises(BootstrapFailed, match="it said nothing"):
        bootstrap.check_runs(site.connection, CLUSTER, "lab1", agent.pid)
