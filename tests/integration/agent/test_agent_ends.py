"""What becomes of slots when their agent is killed, stopped or closed: nothing is left behind."""

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.agent.rig import live

from covey.agent import proctree
from covey.testing.ending import ended, ended_unless, line_of
from covey.testing.waiting import wait_until

AGENT = Path(__file__).with_name("an_agent.py")
ROOT = Path(__file__).parents[3]


class Agent:
    def __init__(self, directory: Path) -> None:
        self.owner = uuid.uuid4().hex
        self.marker = "m" + uuid.uuid4().hex[:12]
        self.directory = directory
        words = [sys.executable, str(AGENT), str(directory), self.owner, self.marker]
        env = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with ended_unless(self.process):
            assert self.read() == "up"
        self.zygote = next(
            pid for pid in proctree.children(self.process.pid) if proctree.children(pid)
        )
        self.everything = proctree.descendants(self.process.pid)

    def read(self) -> str:
        return line_of(self.process).rstrip()

    def left(self) -> list[int]:
        found = [pid for pid in self.everything if proctree.identify(pid)]
        return found + live(self.marker)


@pytest.fixture
def agent(tmp_path: Path) -> Generator[Agent]:
    agent = Agent(tmp_path)
    with ended(agent.process):
        yield agent
        agent.process.kill()
    proctree.kill_orphans(agent.owner, 0.0)
    assert not list(tmp_path.iterdir())


def test_a_killed_agent_leaves_no_process(agent: Agent) -> None:
    agent.process.kill()
    wait_until(lambda: not agent.left(), describe=agent.left)


def test_what_a_killed_agent_and_zygote_leave_is_found_by_its_owner(agent: Agent) -> None:
    # Stopped first: neither can clean up behind the other.
    os.kill(agent.zygote, signal.SIGSTOP)
    agent.process.kill()
    os.kill(agent.zygote, signal.SIGKILL)
    # Slot children die with their zygote; what they started is for the next agent to find.
    proctree.kill_orphans(agent.owner, 0.2)
    wait_until(lambda: not agent.left(), describe=agent.left)


def test_close_ends_everything_and_the_zygote(agent: Agent) -> None:
    assert agent.process.stdin is not None
    agent.process.stdin.close()
    assert agent.read() == "closed"
    # What was killed may have to wait for the processor before it is gone.
    wait_until(lambda: agent.left() in ([], [agent.process.pid]), describe=agent.left)
    assert agent.process.wait(60) == 0


def test_an_agent_that_was_stopped_goes_on_where_it_was(agent: Agent) -> None:
    agent.process.send_signal(signal.SIGSTOP)
    go = agent.directory / "go"
    go.touch()
    # The third task ends while nobody listens.
    wait_until(lambda: not go.exists())
    agent.process.send_signal(signal.SIGCONT)
    assert agent.read() == "ended [3] [1]"


def test_the_zygote_holds_no_descriptor_of_its_agent(agent: Agent) -> None:
    links = {
        os.readlink(f"/proc/{agent.zygote}/fd/{fd}")
        for fd in os.listdir(f"/proc/{agent.zygote}/fd")
    }
    # stdout and stderr of the agent, its control socket, its own wake-up pipe, /dev/null.
    assert len([link for link in links if link.startswith("socket:")]) == 1
    assert not [link for link in links if link.endswith("an_agent.py")]
