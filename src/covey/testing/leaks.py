"""Nothing may be left behind: no process, no runtime directory, no descriptor, no thread.

What is started inside `no_leaks` carries a mark in its environment, by which it is found again
whoever adopted it; its runtime directories lie apart from those of others.
"""

import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from covey.agent import proctree
from covey.testing.waiting import wait_until

#: The variable that marks what belongs to a test.
MARK = "_COVEY_TEST_MARK"
#: What was started may need so long to go away.
GONE_WITHIN_S = 30.0
#: In the base of runtime directories, and not one of them.
_NOT_RUNTIME = ("nats-server.checked",)


@dataclass(frozen=True, slots=True)
class Traces:
    """What carries a mark, and where its runtime directories are."""

    mark: str
    #: $XDG_RUNTIME_DIR of what is started.
    directory: Path

    def processes(self) -> list[int]:
        """Pids of living processes that carry the mark, without this one."""
        return marked_processes(self.mark)

    def roots(self) -> list[int]:
        """Pids of root processes and agents among them."""
        return [
            pid for pid in self.processes() if _runs(pid, b"covey.agent") and not _is_forked(pid)
        ]

    def servers(self) -> list[int]:
        """Pids of the bus servers of these roots."""
        below = [pid for root in self.roots() for pid in proctree.children(root)]
        return [pid for pid in below if _runs(pid, b"nats-server")]

    def directories(self) -> list[str]:
        """Runtime directories that exist."""
        base = self.directory / "covey"
        if not base.is_dir():
            return []
        return sorted(path.name for path in base.iterdir() if path.name not in _NOT_RUNTIME)

    def left(self) -> dict[str, object]:
        """What is still there; empty = nothing."""
        found = {"processes": self.processes(), "runtime directories": self.directories()}
        return {what: items for what, items in found.items() if items}

    def wait_gone(self, timeout_s: float = GONE_WITHIN_S) -> None:
        """Wait until nothing is left.

        Raises:
            NeverHappened: something stayed; the text says what.
        """
        wait_until(lambda: not self.left(), describe=self.left, timeout_s=timeout_s)


@contextmanager
def no_leaks() -> Generator[Traces]:
    """Check that what is started inside is gone at the end, and that this process is as it was.

    Sets $_COVEY_TEST_MARK and $XDG_RUNTIME_DIR inside.

    Raises:
        NeverHappened: something stayed.
    """
    # Short: the paths of unix sockets are.
    directory = Path(tempfile.mkdtemp(prefix="covey-t-"))
    traces = Traces(directory.name, directory)
    before = {name: os.environ.get(name) for name in (MARK, "XDG_RUNTIME_DIR")}
    os.environ[MARK], os.environ["XDG_RUNTIME_DIR"] = traces.mark, str(directory)
    gc.collect()
    fds, threads = _descriptors(), set(threading.enumerate())
    try:
        yield traces
        gc.collect()
        traces.wait_gone()
        wait_until(lambda: not _new(threads), describe=lambda: _new(threads))
        wait_until(
            lambda: not _descriptors().keys() - fds.keys(),
            describe=lambda: {fd: to for fd, to in _descriptors().items() if fd not in fds},
        )
    finally:
        for pid in traces.processes():
            proctree.signal_all([pid], 9)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(directory, ignore_errors=True)


def marked_processes(mark: str) -> list[int]:
    """Pids of living processes of this account (no zombies) that carry a mark, without this one."""
    wanted = os.fsencode(f"{MARK}={mark}")
    return [
        pid
        for pid in _pids()
        if pid != os.getpid()
        and wanted in _read(f"/proc/{pid}/environ").split(b"\0")
        and proctree.identify(pid) is not None
    ]


def _new(threads: Iterable[threading.Thread]) -> list[str]:
    known = set(threads)
    return [thread.name for thread in threading.enumerate() if thread not in known]


def _descriptors() -> dict[str, str]:
    found: dict[str, str] = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue
    return found


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _runs(pid: int, what: bytes) -> bool:
    return what in _read(f"/proc/{pid}/cmdline")


def _is_forked(pid: int) -> bool:
    """Whether it has the command line of its parent: a zygote or a child, not a root."""
    parent = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()[1:2]
    return bool(parent) and _read(f"/proc/{int(parent[0])}/cmdline") == _read(
        f"/proc/{pid}/cmdline"
    )


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
