"""Virtual machines: an agent process each, on this computer, with a directory of its own.

Started detached, so that they outlive the head; ended by pid and start time, never by name.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path

from covey.agent import proctree, runtime
from covey.client.cluster import ClusterFiles, ProcessRecord
from covey.errors import UsageError

#: From SIGTERM to SIGKILL of an agent.
STOP_MAX_S = 5.0
#: Looking again whether a process has ended.
LOOK_EVERY_S = 0.02


class Machines:
    """Acts on the machines of a cluster that are virtual ones."""

    def __init__(self, files: ClusterFiles) -> None:
        self._files = files

    def check(self, name: str) -> ProcessRecord:
        """The agent process of a machine.

        Raises:
            UsageError: there is no such machine, or it does not run.
        """
        names = [machine.name for machine in self._files.machines()]
        record = self._files.agent(name)
        if name not in names:
            raise UsageError(f"there is no local machine {name!r}; there are: {', '.join(names)}")
        if record is None or not record.is_alive:
            raise UsageError(f"{name} does not run; bring it back with: covey up --local")
        return record

    def disturb(self, how: str, name: str, for_s: float) -> None:
        """Kill a machine, or freeze it for a while.

        Raises:
            UsageError: another disturbance, or no such machine.
        """
        record = self.check(name)
        if how == "kill":
            proctree.signal_all([record.pid], signal.SIGKILL)
        elif how == "freeze":
            pids = [record.pid, *proctree.descendants(record.pid)]
            proctree.signal_all(pids, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(for_s, _thaw, pids)
        else:
            raise UsageError(f"no chaos of kind {how!r}: kill, freeze or cut")

    def thaw_all(self) -> None:
        """Whatever stands still goes on."""
        for machine in self._files.machines():
            record = self._files.agent(machine.name)
            if record is not None and record.is_alive:
                _thaw([record.pid, *proctree.descendants(record.pid)])


def _thaw(pids: list[int]) -> None:
    proctree.signal_all(pids, signal.SIGCONT)


def stop_agent(record: ProcessRecord, *, is_now: bool = False) -> None:
    """End an agent and all that is its own: SIGTERM, STOP_MAX_S, SIGKILL, then its orphans."""
    if record.is_alive:
        # A frozen one cannot obey.
        proctree.signal_all([record.pid], signal.SIGKILL if is_now else signal.SIGTERM)
        if not wait_for_end(record, STOP_MAX_S):
            proctree.signal_all([record.pid], signal.SIGKILL)
            wait_for_end(record, STOP_MAX_S)
    remove_traces(record)


def remove_traces(record: ProcessRecord) -> None:
    """Processes and the runtime directory of an agent that is dead."""
    if record.incarnation:
        proctree.kill_orphans(record.incarnation)
    if record.runtime_dir:
        runtime.remove(Path(record.runtime_dir))


def wait_for_end(record: ProcessRecord, timeout_s: float) -> bool:
    """Whether the process ended within `timeout_s`."""
    until = time.monotonic() + timeout_s
    while record.is_alive:
        if time.monotonic() > until:
            return False
        with contextlib.suppress(ChildProcessError):
            # Ours to reap, when it was started by this very process.
            os.waitpid(record.pid, os.WNOHANG)
        time.sleep(LOOK_EVERY_S)
    return True
