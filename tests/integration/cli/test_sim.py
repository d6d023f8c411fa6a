"""`covey sim` as a process: Ctrl-C ends it and all that it started."""

import os
import signal
import subprocess
import sys
from pathlib import Path

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


def test_ctrl_c_ends_a_simulation_and_its_processes_at_once(tmp_path: Path):
    words = ("sim", "fig3", "--loads", "0.8", "--processes", "2")
    command = [sys.executable, "-m", "covey", *words]
    with subprocess.Popen(
        command,
        env=os.environ | {"COVEY_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as simulation:
        try:

            def workers() -> list[int]:
                # A helper of multiprocessing is a child too, and ends with us.
                return [child for child in _children(simulation.pid) if _is_worker(child)]

            wait_until(lambda: len(workers()) == 2, timeout_s=STARTED_WITHIN_S)
            begun = workers()
            os.killpg(simulation.pid, signal.SIGINT)
            assert simulation.wait(ENDED_WITHIN_S) == 130
            wait_until(lambda: not any(map(_is_worker, begun)), timeout_s=ENDED_WITHIN_S)
            assert simulation.stderr is not None
            assert b"Traceback" not in simulation.stderr.read()
        finally:
            if simulation.poll() is None:
                os.killpg(simulation.pid, signal.SIGKILL)
