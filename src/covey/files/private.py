"""Directories that only we can enter: for keys, sockets, captures."""

import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from covey.errors import StartFailed

#: Longest path of a unix socket that every system takes.
SOCKET_PATH_MAX_BYTES = 100
#: Bytes of a socket's name that must fit behind a runtime directory: `bus-4294967295.sock`.
SOCKET_NAME_MAX_BYTES = 24


def make_runtime_dir(name: str) -> Path:
    """A new private directory for sockets and captures, short enough for socket paths.

    In $XDG_RUNTIME_DIR/covey where that is ours, else made by mkdtemp. Its maker removes it.

    Raises:
        StartFailed: none can be made.
    """
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and Path(base).is_absolute():
        directory = Path(base) / "covey" / f"{name[:24]}-{secrets.token_hex(4)}"
        with suppress(OSError, StartFailed):
            check_private(Path(base))
            make_private(directory.parent)
            if _leaves_room(directory):
                directory.mkdir(mode=0o700)
                return directory
    for parent in (tempfile.gettempdir(), "/tmp"):
        if _leaves_room(Path(parent) / "covey-12345678"):
            try:
                return Path(tempfile.mkdtemp(prefix="covey-", dir=parent))
            except OSError as error:
                raise StartFailed(
                    f"no directory for sockets can be made in {parent} ({error.strerror}): set"
                    " XDG_RUNTIME_DIR or TMPDIR to one that is yours",
                    what="runtime directory",
                    reason=str(error),
                ) from error
    raise StartFailed("no directory has a path short enough for sockets: set TMPDIR to a short one")


def socket_path(directory: Path, name: str) -> Path:
    """The path of a unix socket.

    Raises:
        StartFailed: it is longer than some systems take.
    """
    path = directory / name
    if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
        raise StartFailed(
            f"the socket path {path} is longer than {SOCKET_PATH_MAX_BYTES} bytes: set"
            " XDG_RUNTIME_DIR or TMPDIR to a shorter directory",
            what="socket",
            reason="path too long",
        )
    return path


def make_private(directory: Path) -> None:
    """Make a directory that only we can enter, or check that it is one.

    Raises:
        StartFailed: somebody else made it, or it is a link.
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    check_private(directory)


def check_private(directory: Path) -> None:
    """Check that a directory is no link, ours, and closed to others.

    Raises:
        StartFailed: it is not.
        OSError: it is not there.
    """
    found = directory.lstat()
    reason = ""
    if not stat.S_ISDIR(found.st_mode):
        reason = "is not a directory"
    elif found.st_uid != os.geteuid():
        reason = f"belongs to user {found.st_uid}"
    elif found.st_mode & 0o077:
        reason = "may be entered by others (chmod 700 it if nobody did)"
    if reason:
        raise StartFailed(
            f"{directory} {reason}: covey does not put keys there; remove it, or set COVEY_HOME to"
            " a local directory",
            what=str(directory),
            reason=reason,
        )


def _leaves_room(directory: Path) -> bool:
    return len(os.fsencode(directory)) + 1 + SOCKET_NAME_MAX_BYTES <= SOCKET_PATH_MAX_BYTES
