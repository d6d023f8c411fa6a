"""Breaks things on purpose: finds the processes of a run by their role, kills and freezes them.

Nothing is found by name over the whole machine: a private run by its client's children, a cluster
by the records in its state directory.
"""

import os
import select
import signal
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager, suppress
from pathlib import Path

from covey.agent import proctree
from covey.agent.proctree import Process
from covey.bus.record import read_record
from covey.client.cluster import ClusterFiles
from covey.testing.ending import KILLED_MAX_S

_SERVER = "nats-server"
#: In the command line of a root process, however Python was told to start it.
_ROOT = b"covey.agent"


def kill(process: Process | None) -> bool:
    """SIGKILL, if it still is this process; whether it was. Returns when all of it is gone."""
    return kill_all([process]) == 1


def kill_all(processes: Iterable[Process | None]) -> int:
    """SIGKILL to all of them, as good as at once; how many were there. Returns when all are gone.

    Locks and sockets of a process are free only when its last thread has ended.
    """
    fds: list[int] = []
    try:
        for process in processes:
            if process is not None:
                with suppress(ProcessLookupError):
                    fds.append(os.pidfd_open(process.pid))
                    if not _signal(process, signal.SIGKILL):
                        os.close(fds.pop())
        for fd in fds:
            if not select.select([fd], [], [], KILLED_MAX_S)[0]:
                raise AssertionError("what was killed hangs in the kernel")
        return len(fds)
    finally:
        for fd in fds:
            os.close(fd)


def stop(process: Process | None) -> bool:
    """SIGSTOP, likewise."""
    return _signal(process, signal.SIGSTOP)


def go_on(process: Process | None) -> bool:
    """SIGCONT, likewise."""
    return _signal(process, signal.SIGCONT)


@contextmanager
def frozen(*processes: Process | None) -> Generator[None]:
    """They stand still inside, and go on in any case."""
    try:
        for process in processes:
            stop(process)
        yield
    finally:
        for process in processes:
            go_on(process)


def last(seconds: float) -> None:
    """Let a fault last: nothing that could be waited for happens while a process stands still."""
    time.sleep(seconds)


def is_alive(process: Process) -> bool:
    """Whether it runs (a zombie does not)."""
    return proctree.identify(process.pid) == process


def tree(pid: int) -> list[Process]:
    """A process and all its descendants, parents first."""
    found = (proctree.identify(one) for one in [pid, *proctree.descendants(pid)])
    return [process for process in found if process is not None]


class PrivateParts:
    """The processes of a private run, by the pid of its client (None = not there now)."""

    def __init__(self, client_pid: int) -> None:
        self._client = client_pid

    @property
    def client(self) -> Process | None:
        """`covey map`, or the program with the Executor."""
        return proctree.identify(self._client)

    @property
    def root(self) -> Process | None:
        """The one child of the client: agent and parent of all the rest."""
        for pid in proctree.children(self._client):
            if _ROOT in _command_line(pid):
                return proctree.identify(pid)
        return None

    @property
    def server(self) -> Process | None:
        """The bus server."""
        return next((p for p in self._below_root() if _name(p.pid) == _SERVER), None)

    @property
    def zygote(self) -> Process | None:
        """What forks the children."""
        return next((p for p in self._below_root() if _name(p.pid) != _SERVER), None)

    @property
    def children(self) -> list[Process]:
        """Slot children and runners."""
        return _children(self.zygote)

    def _below_root(self) -> list[Process]:
        return _children(self.root)


class ClusterParts:
    """The processes of a cluster of virtual machines, by its records (None = not there now)."""

    def __init__(self, state_dir: Path) -> None:
        self.files = ClusterFiles(state_dir)

    @property
    def head(self) -> Process | None:
        """The head."""
        record = self.files.head()
        return Process(record.pid, record.started) if record and record.is_alive else None

    @property
    def server(self) -> Process | None:
        """The bus server."""
        record = read_record(self.files.bus_dir)
        if record is None:
            return None
        process = Process(record.pid, record.started)
        return process if is_alive(process) else None

    def agent(self, name: str) -> Process | None:
        """The agent of a machine."""
        record = self.files.agent(name)
        return Process(record.pid, record.started) if record and record.is_alive else None

    @property
    def agents(self) -> list[Process]:
        """All agents that run."""
        found = (self.agent(machine.name) for machine in self.files.machines())
        return [agent for agent in found if agent is not None]

    def children(self, name: str) -> list[Process]:
        """Slot children and runners of a machine."""
        return [child for zygote in _children(self.agent(name)) for child in _children(zygote)]

    @property
    def all(self) -> list[Process]:
        """Everything: head, server, agents and what is below them."""
        heads = [process for process in (self.head, self.server) if process is not None]
        return heads + [process for agent in self.agents for process in tree(agent.pid)]


def _signal(process: Process | None, number: int) -> bool:
    if process is None or not is_alive(process):
        return False
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        return False
    return True


def _children(parent: Process | None) -> list[Process]:
    if parent is None:
        return []
    found = (proctree.identify(pid) for pid in proctree.children(parent.pid))
    return [process for process in found if process is not None]


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
