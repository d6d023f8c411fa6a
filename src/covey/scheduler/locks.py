"""Locks of the state directory: flock, so that the kernel releases them when their holder dies."""

import fcntl
import os
import time
from pathlib import Path

from covey.errors import LedgerError, StateInUse

#: Held by the head of a cluster as long as it lives.
HEAD_LOCK = "head.lock"
#: Whoever looks whether a lock is held holds it for a moment: so long a taker tries again.
LOOK_S = 0.2
#: Longest wait for a lock that is only held for the length of a fold or of a counter.
SHORT_LOCK_TIMEOUT_S = 60.0
_PAUSE_S = 0.01


def take(path: Path, *, wait_s: float = LOOK_S, inheritable: bool = False) -> int:
    """Create and lock `path`; returns the descriptor that holds the lock as long as it is open.

    Copies of the descriptor in other processes hold the lock as well.

    Raises:
        StateInUse: somebody else holds it.
        LedgerError: it cannot be opened.
    """
    until = time.monotonic() + wait_s
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise LedgerError(
                f"{path} cannot be opened ({error.strerror}): check who owns {path.parent}, or set"
                " COVEY_HOME elsewhere",
                path=str(path),
            ) from error
        if _locked(fd) and _is_same(fd, path):
            os.set_inheritable(fd, inheritable)
            return fd
        os.close(fd)
        if time.monotonic() >= until:
            raise StateInUse(f"{path} is held by another process of covey", path=str(path))
        time.sleep(_PAUSE_S)


def is_held(path: Path) -> bool:
    """Whether somebody holds the lock. Never makes the file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_same(fd: int, path: Path) -> bool:
    """Whether the file that is locked is still the one of this name: it may have been removed."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(fd)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def head_is_up(state_dir: Path) -> bool:
    """Whether a head lives there."""
    return is_held(state_dir / HEAD_LOCK)
