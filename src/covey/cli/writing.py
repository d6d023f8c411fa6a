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
    if path.is_dir():
        raise UsageError(f"{option} {path}: it is a directory, name a file")
    if not path.parent.is_dir():
        raise UsageError(f"{option} {path}: there is no directory {path.parent}")
    _check_access(option, path, path if path.exists() else path.parent)


def check_directory(option: str, path: Path | None) -> None:
    """The same of a directory, which is made where it is missing.

    Raises:
        UsageError: it cannot be made, or nothing be written there.
    """
    if path is None:
        return
    there = path.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise UsageError(f"{option} {path}: {there} is no directory")
    _check_access(option, path, there)


def _check_access(option: str, path: Path, there: Path) -> None:
    if not os.access(there, os.W_OK):
        raise UsageError(f"{option} {path}: {there} may not be written")
