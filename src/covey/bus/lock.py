"""The lock of a server's directory: taken by whoever starts a server, inherited by the server.

Nobody writes down who holds it: whoever wrote may die before, and what was written may be old. The
kernel knows, at any moment (Linux; elsewhere the holder stays unknown).
"""

import fcntl
import os
import signal
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

from covey.errors import StateInUse

_NAME = "nats-server.lock"


def take(directory: Path) -> int:
    """Lock `directory`; returns the descriptor that holds the lock as long as a copy is open.

    Raises:
        StateInUse: somebody else holds it.
        OSError: it cannot be opened.
    """
    fd = _try(directory)
    if fd is None:
        owner = " ".join(map(str, holders(directory)))
        raise StateInUse(
            f"a bus runs in {directory} already (process {owner or 'unknown'})",
            path=str(directory),
            owner=owner,
        )
    return fd


def is_held(directory: Path) -> bool:
    """Whether somebody holds the lock."""
    try:
        fd = _try(directory)
    except OSError:
        return False
    if fd is not None:
        os.close(fd)
    return fd is None


def holders(directory: Path) -> list[int]:
    """Pids of our user's processes that hold the lock, never this one."""
    try:
        lock = os.stat(directory / _NAME)
    except OSError:
        return []
    return [pid for pid in _pids() if pid != os.getpid() and _holds(pid, lock)]


def kill_holders(directory: Path) -> None:
    """SIGKILL to whoever holds the lock."""
    for pid in holders(directory):
        with suppress(OSError):
            process = os.pidfd_open(pid)
            try:
                # The pid may be another's since we looked; what the descriptor names stays.
                if pid in holders(directory):
                    signal.pidfd_send_signal(process, signal.SIGKILL)
            finally:
                os.close(process)


def _try(directory: Path) -> int | None:
    fd = os.open(directory / _NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return fd


def _pids() -> Generator[int]:
    with suppress(OSError):
        for entry in os.scandir("/proc"):
            with suppress(OSError):
                if entry.name.isdigit() and entry.stat().st_uid == os.getuid():
                    yield int(entry.name)


def _holds(pid: int, lock: os.stat_result) -> bool:
    """Whether a descriptor of the process holds the lock, and does not just look at the file."""
    with suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            # A descriptor or the process may be gone by now.
            with suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{fd}")
                if (found.st_dev, found.st_ino) == (lock.st_dev, lock.st_ino):
                    return "FLOCK" in Path(f"/proc/{pid}/fdinfo/{fd}").read_text()
    return False
