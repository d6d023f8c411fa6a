"""Directories that only we can enter: for keys, sockets, captures."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from covey.errors import StartFailed


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
