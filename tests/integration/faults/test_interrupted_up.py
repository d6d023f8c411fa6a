"""Ctrl-C at any line of what brings machines up leaves neither a head nor machines behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from covey.testing.cluster import Lab
from covey.testing.waiting import COMMAND_MAX_S

#: Far over what any takes, also on a starved machine.
pytestmark = pytest.mark.timeout(300)

#: An ssh to a machine that refuses: `up` fails by itself where nobody interrupts it.
REFUSING_SSH = """#!/bin/sh
echo 'ssh: connect to host lab1 port 22: Connection refused' >&2
exit 255
"""

#: Interrupts one `up` after the other, each at another line; ends with the first that comes to no
#: new one. It prints at how many.
INTERRUPTED = """
import sys
from covey.client.cluster import files_of
from covey.fleet.host import Host
from covey.head import raising
from covey.scheduler.locks import head_is_up
from covey.settings import read_settings

settings = read_settings()
order = raising.UpOrder(hosts=(Host("lab1", "lab1"),))

tried = set()

def is_interrupted():
    was_tried = False

    def trace(frame, event, _):
        nonlocal was_tried
        if frame.f_code.co_filename != raising.__file__:
            return None
        if event == "line" and not was_tried and frame.f_lineno not in tried:
            was_tried = True
            tried.add(frame.f_lineno)
            raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        raising.up(settings, order)
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False

was_interrupted = True
while was_interrupted:
    was_interrupted = is_interrupted()
    assert not head_is_up(settings.state_dir), f"a head stays ({sorted(tried)})"
    assert not files_of(settings).machines(), f"a machine stays ({sorted(tried)})"
print(len(tried))
"""


def test_ctrl_c_at_any_line_of_up_leaves_nothing(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(REFUSING_SSH)
    ssh.chmod(0o755)
    with Lab(tmp_path, {"COVEY_SSH_COMMAND": str(ssh)}) as lab:
        done = subprocess.run(
            [sys.executable, "-c", INTERRUPTED],
            env=lab.env,
            cwd=lab.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * COMMAND_MAX_S,
        )
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) > 30
        assert not lab.left()
