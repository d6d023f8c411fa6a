"""Whoever makes, uses or removes a runtime directory may die at any moment: nothing stays."""

import os
import secrets
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from covey.agent import runtime
from covey.client.program import python_command
from covey.testing.ending import ended
from covey.testing.waiting import COMMAND_MAX_S

EACH_LINE = textwrap.dedent(
    """
    import os, shutil, sys
    from covey.agent import runtime
    from covey.testing.dying import each_line

    def make():
        runtime.create("0123456789abcdef" * 2)

    def make_and_remove():
        made = runtime.create("0123456789abcdef" * 2)
        (made.path / "bus").mkdir()
        (made.path / "bus" / "log").write_text("")
        runtime.remove(made.path)

    def look():
        runtime.sweep()
        left = os.listdir(runtime.base_dir())
        assert not left, left

    act = {"make": make, "remove": make_and_remove}[sys.argv[1]]
    print(each_line(act, look, [runtime.__file__, shutil.__file__]))
    """
)


@pytest.fixture(autouse=True)
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the runtime directories of a test are."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "covey"


@pytest.mark.parametrize("act", ["make", "remove"])
def test_one_that_is_killed_at_any_line_leaves_nothing_for_long(act: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", EACH_LINE, act],
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10


@pytest.mark.parametrize("is_private", [True, False])
def test_an_agent_that_gets_no_order_removes_what_was_made_for_it(
    base: Path, is_private: bool
) -> None:
    incarnation = secrets.token_hex(16)
    made = runtime.create(incarnation)
    ours, theirs = socket.socketpair()
    args = ["--lifeline", str(theirs.fileno())] if is_private else []
    agent = subprocess.Popen(
        python_command("covey.agent", *args),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[theirs.fileno(), made.lock_fd],
        env={**os.environ, "COVEY_OWNER": incarnation},
    )
    with ended(agent):
        made.release()
        theirs.close()
        assert runtime.sweep() == []
        ours.close()
        _, said = agent.communicate(timeout=60)
    assert agent.returncode == 1
    # In a private run it speaks to the terminal of somebody who is not there any more.
    assert (said == b"") == is_private
    assert list(base.iterdir()) == []
