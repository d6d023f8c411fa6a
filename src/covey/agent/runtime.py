"""Runtime directories: sockets, captures and bus data of one agent, local, 0700, gone with it.

Each holds `lock`, locked for as long as its agent (or the client that made it) lives, and
`owner`, the incarnation whose processes it belongs to. A directory whose lock is free is what a
crash of everything at once left: the next start kills that owner's processes and removes it
(protocol.md rule 31).
"""

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from covey.agent import proctree

#: How often the base is made again when others remove it.
_TRIES_MAX = 10


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

    A directory that is not ours alone is not used: then it is a fresh one, which no sweep finds.
    """
    env = os.environ if env is None else env
    if given := env.get("XDG_RUNTIME_DIR"):
        path = Path(given) / "covey"
        if _is_ours(path):
            return path
    path = Path(tempfile.gettempdir()) / f"covey-{os.getuid()}"
    if _is_ours(path):
        return path
    return Path(tempfile.mkdtemp(prefix=f"covey-{os.getuid()}-"))


def create(incarnation: str, env: Mapping[str, str] | None = None) -> RuntimeDir:
    """A new runtime directory for an agent of this incarnation (hex), locked.

    Raises:
        OSError: it cannot be made.
    """
    path = _made(incarnation[:16], env)
    fd = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (path / "owner").write_text(incarnation)
    return RuntimeDir(path, fd)


def _made(name: str, env: Mapping[str, str] | None) -> Path:
    for _ in range(_TRIES_MAX):
        path = base_dir(env) / name
        # Whoever removed the last one in there may have removed the base since we looked.
        with contextlib.suppress(FileNotFoundError):
            path.mkdir(mode=0o700)
            return path
    raise FileNotFoundError(f"the base of runtime directories vanishes: {base_dir(env)}")


def sweep(env: Mapping[str, str] | None = None) -> list[Path]:
    """Clean up after agents that died with their clients; returns what was removed."""
    removed: list[Path] = []
    try:
        found = sorted(base_dir(env).iterdir())
    except OSError:
        return removed
    for path in found:
        if _sweep_one(path):
            removed.append(path)
    return removed


def _sweep_one(path: Path) -> bool:
    try:
        fd = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        owner = (path / "owner").read_text().strip()
    except OSError:
        return False
    else:
        if owner:
            proctree.kill_orphans(owner)
        shutil.rmtree(path, ignore_errors=True)
        return True
    finally:
        os.close(fd)


def _is_ours(path: Path) -> bool:
    """Make it if need be; whether it is a directory that only this account can enter."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and stat.S_IMODE(found.st_mode) & 0o077 == 0
    )
