"""Files that a command writes when it is done: whether it may is asked before the work begins."""

import os
from pathlib import Path

from covey.errors import UsageError


def check_writable(option: str, path: Path | None) -> None:
    """Whether the file can be written, as far as can be told beforehand; None = none is.

    Raises:
        UsageError: it cannot.
    """
    if path is None:
        return
    is_there = _is_there(option, path, path)
    if is_there and path.is_dir():
        raise UsageError(f"{option} {path}: it is a directory, name a file")
    if not is_there and not (_is_there(option, path, path.parent) and path.parent.is_dir()):
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")
    _check_access(option, path, path if is_there else path.parent)


def check_directory(option: str, path: Path | None) -> None:
    """The same of a directory, which is made where it is missing.

    Raises:
        UsageError: it cannot be made, or nothing be written there.
    """
    if path is None:
        return
    there = path.absolute()
    while not _is_there(option, path, there):
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{option} {path}: {there} is no directory")
    _check_access(option, path, there)


def _is_there(option: str, path: Path, there: Path) -> bool:
    try:
        there.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        # Behind what may not be entered, or a name that is too long.
        raise UsageError(f"{option} {path}: {there}: {error.strerror}") from error
    return True


def _check_access(option: str, path: Path, there: Path) -> None:
    if not os.access(there, os.W_OK):
        raise UsageError(f"{option} {path}: {there} may not be written")
