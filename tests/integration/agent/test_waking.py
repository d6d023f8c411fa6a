"""What wakes a runner that waits for its command."""

import subprocess
import sys

import pytest

#: Far longer than a test may take: whoever sleeps so long was not woken.
SLEEP_S = 600
_PROGRAM = f"""
import mmap, socket
from covey.agent.frames import PAGE_BYTES, POKE_FRAME
from covey.agent.outbox import Outbox
from covey.agent.runner import Runner

ours, agents = socket.socketpair()
runner = Runner(ours, Outbox(ours, mmap.mmap(-1, PAGE_BYTES)))
%s
runner._sleep({SLEEP_S})
print("orphan" if runner._is_orphan else "woken")
"""


def woken_by(what: str) -> str:
    """What a runner says that is woken by `what`."""
    argv = [sys.executable, "-c", _PROGRAM % what]
    ran = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return ran.stdout.strip()


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("agents.send(POKE_FRAME)", "woken"),
        ("agents.send(2 * POKE_FRAME); agents.close()", "orphan"),
        ("agents.close()", "orphan"),
        ("ours.send(b'a result'); agents.close()", "orphan"),
        ("import os; os.posix_spawnp('true', ['true'], {})", "woken"),
    ],
)
def test_a_runner_hears_its_agent_and_the_end_of_a_child_at_once(what: str, outcome: str) -> None:
    assert woken_by(what) == outcome
