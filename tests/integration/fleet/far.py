"""A head on one of the machines of a room, as `covey up --head` or somebody logged in makes it."""

import shlex
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from tests.integration.fleet.room import LONG_S, Room

from covey.client.cluster import ClusterFiles
from covey.scheduler.view import LedgerView

#: Where our sources are: what somebody installed there.
_SOURCES = Path(__file__).resolve().parents[3] / "src"


def _line(room: Room, name: str, words: tuple[str, ...]) -> list[str]:
    given = {"COVEY_SSH_COMMAND": room.fleet.env["COVEY_SSH_COMMAND"], "PYTHONPATH": str(_SOURCES)}
    # One archive for all machines of all tests.
    given["XDG_CACHE_HOME"] = room.lab.env["XDG_CACHE_HOME"]
    settings = [f"{key}={shlex.quote(value)}" for key, value in given.items()]
    line = " ".join(["env", *settings, shlex.join([sys.executable, "-m", "covey", *words])])
    config = str(room.fleet.client / "config")
    return ["ssh", "-F", config, "-o", "BatchMode=yes", name, line]


def on(room: Room, name: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    """Run covey on a machine, as somebody does who is logged in there and has it installed."""
    return subprocess.run(
        _line(room, name, words),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LONG_S,
        check=False,
    )


def begin_on(room: Room, name: str, *words: str) -> subprocess.Popen[bytes]:
    """The same, left running; its output is a pipe."""
    return subprocess.Popen(
        _line(room, name, words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )


def state_there(room: Room, name: str) -> Path:
    """The state directory of a head there."""
    return room.machine(name).home / ".local/state/covey/default"


def files_there(room: Room, name: str) -> ClusterFiles:
    """The files of a head there."""
    return ClusterFiles(state_there(room, name))


def view_there(room: Room, name: str) -> LedgerView:
    """The ledger of a head there."""
    return LedgerView(state_there(room, name))


@contextmanager
def head_on(room: Room, name: str, *, machines: int = 1, slots: int = 1) -> Generator[None]:
    """A head with virtual machines there, up inside."""
    done = on(room, name, "up", "--local", str(machines), "--slots", str(slots))
    assert done.returncode == 0, done.stderr
    try:
        yield
    finally:
        done = on(room, name, "down")
        assert done.returncode == 0, done.stderr
