"""Runtime directories: sockets, captures and bus data of one agent, local, 0700, gone with it.

Each holds `lock`, locked for as long as its agent (or the client that made it) lives, and
`owner`, the incarnation whose processes it belongs to. A directory whose lock is free is what a
crash of everything at once left: the next start kills that owner's processes and removes it
(protocol.md rule 31).

Each appears whole and disappears whole: it is made as `.new-…` and removed as `.gone-…`, so that a
sweep can tell what somebody left who died meanwhile.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covey.agent import proctree
from covey.agent.proctree import Process
from covey.errors import StartFailed
from covey.files.private import check_private, make_private

#: How often a base that somebody removes just then is made again.
_TRIES_MAX = 100
_LOCK, _OWNER = "lock", "owner"
_NEW, _GONE = ".new-", ".gone-"


@dataclass(slots=True)
class RuntimeDir:
    """A directory and its lock; the descriptor is to be inherited by the agent."""

    path: Path
    lock_fd: int

    def release(self) -> None:
        """Give up our hold of the lock; the agent's keeps it locked."""
        os.close(self.lock_fd)


def base_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where runtime directories of this account lie: $XDG_RUNTIME_DIR/covey, else /tmp/covey-<uid>.

    A directory that is not ours alone is not used: then it is /tmp/covey-<uid>-<any>.
    """
    env = os.environ if env is None else env
    temporary, name = Path(tempfile.gettempdir()), f"covey-{os.geteuid()}"
    wanted = [temporary / name]
    given = Path(env.get("XDG_RUNTIME_DIR", ""))
    if given.is_absolute():
        wanted.insert(0, given / "covey")
    for path in wanted:
        with contextlib.suppress(OSError, StartFailed):
            make_private(path)
            return path
    # The one that was made instead by an earlier call, if there is one.
    for path in sorted(temporary.glob(f"{name}-*")):
        with contextlib.suppress(OSError, StartFailed):
            check_private(path)
            return path
    return Path(tempfile.mkdtemp(prefix=f"{name}-"))


def create(incarnation: str, env: Mapping[str, str] | None = None) -> RuntimeDir:
    """A new runtime directory for an agent of this incarnation (hex), locked.

    Raises:
        OSError: it cannot be made.
    """
    name = incarnation[:16]
    maker = proctree.identify(os.getpid()) or Process(os.getpid(), 0)
    new = _made(f"{_NEW}{maker.pid}-{maker.started}-{name}", env)
    fd = -1
    try:
        fd = os.open(new / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (new / _OWNER).write_text(incarnation)
        return RuntimeDir(new.rename(new.parent / name), fd)
    except OSError:
        shutil.rmtree(new, ignore_errors=True)
        if fd >= 0:
            os.close(fd)
        raise


def remove(path: Path) -> None:
    """Remove a runtime directory, whose processes have ended or just end."""
    gone = path.with_name(f"{_GONE}{path.name}")
    # Under another name nobody puts anything into it, and a sweep goes on where we are killed.
    with contextlib.suppress(OSError):
        path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def remove_inherited(incarnation: str) -> None:
    """Remove the directory whose lock this process was started with, if it was, told or not."""
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            lock = Path(os.readlink(f"/proc/self/fd/{fd}"))
            if lock.name == _LOCK and (lock.parent / _OWNER).read_text() == incarnation:
                remove(lock.parent)


def sweep(env: Mapping[str, str] | None = None) -> list[Path]:
    """Clean up after agents that died with their clients; returns what was removed."""
    removed: list[Path] = []
    try:
        found = sorted(base_dir(env).iterdir())
    except OSError:
        return removed
    for path in found:
        if path.name.startswith(_GONE) or (path.name.startswith(_NEW) and not _is_made(path)):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
        elif not path.name.startswith(".") and _sweep_one(path):
            removed.append(path)
    return removed


def _made(name: str, env: Mapping[str, str] | None) -> Path:
    for _ in range(_TRIES_MAX):
        path = base_dir(env) / name
        # Whoever removed the last one in there may have removed the base since we looked.
        with contextlib.suppress(FileNotFoundError):
            path.mkdir(mode=0o700)
            return path
    raise FileNotFoundError(f"the base of runtime directories vanishes: {base_dir(env)}")


def _is_made(path: Path) -> bool:
    """Whether the process that makes this directory lives."""
    try:
        pid, started, _ = path.name.removeprefix(_NEW).split("-")
        return proctree.identify(int(pid)) == Process(int(pid), int(started))
    except ValueError:
        return False


def _sweep_one(path: Path) -> bool:
    try:
        fd = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owner = (path / _OWNER).read_text().strip()
    except OSError:
        return False
    else:
        if owner:
            proctree.kill_orphans(owner)
        remove(path)
        return True
    finally:
        os.close(fd)
