"""`covey sim` as a process: what ends it ends all that it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from covey.testing.ending import ended
from covey.testing.waiting import wait_until

#: Hang guards on a loaded machine.
STARTED_WITHIN_S = 60.0
ENDED_WITHIN_S = 60.0


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found]


def _is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(
    ("number", "is_from_terminal", "code"),
    [
        (signal.SIGINT, True, 130),
        (signal.SIGTERM, False, 143),
        (signal.SIGKILL, False, -signal.SIGKILL),
    ],
)
def test_a_signal_ends_a_simulation_and_its_processes_at_once(
    tmp_path: Path, number: signal.Signals, is_from_terminal: bool, code: int
):
    words = ("sim", "fig3", "--loads", "0.8", "--processes", "2")
    command = [sys.executable, "-m", "covey", *words]
    simulation = subprocess.Popen(
        command,
        env=os.environ | {"COVEY_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with ended(simulation):
        try:

            def workers() -> list[int]:
                # A helper of multiprocessing is a child too, and ends with us.
                return [child for child in _children(simulation.pid) if _is_worker(child)]

            wait_until(lambda: len(workers()) == 2, timeout_s=STARTED_WITHIN_S)
            begun = workers()
            if is_from_terminal:
                os.killpg(simulation.pid, number)
            else:
                os.kill(simulation.pid, number)
            assert simulation.wait(ENDED_WITHIN_S) == code
            wait_until(lambda: not any(map(_is_worker, begun)), timeout_s=ENDED_WITHIN_S)
            said = simulation.communicate(timeout=ENDED_WITHIN_S)[1]
            assert b"Traceback" not in said
            # The helper of multiprocessing complains of what nobody could clean up.
            assert number is signal.SIGKILL or b"leaked" not in said
        finally:
            if simulation.poll() is None:
                os.killpg(simulation.pid, signal.SIGKILL)
