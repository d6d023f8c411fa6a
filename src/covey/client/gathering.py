"""Keeps what machines brought back: below a directory for each, checked, each file in one piece.

A name comes from another machine and is not believed: it stays below the directory, and never goes
through a link that lies in its way.
"""

import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from covey.errors import FileError
from covey.model.errand import Gathered, GatheredFile


def keep(gathered: Gathered, directory: Path) -> list[FileError]:
    """Write the files below `directory`; what could not be written, and why."""
    problems: list[FileError] = []
    for file in gathered.files:
        try:
            write_in_one_piece(directory, _parts(file), file.data, mode=file.mode)
        except FileError as error:
            problems.append(error)
    return problems


def write_in_one_piece(
    directory: Path, parts: Sequence[bytes], data: bytes, *, mode: int = 0o666
) -> None:
    """Write directory/parts…: whoever reads it finds the old bytes or the new ones.

    Raises:
        FileError: it cannot be written, or a link or a file is in the way.
    """
    at = os.fsencode(directory)
    try:
        os.makedirs(at, exist_ok=True)
        for part in parts[:-1]:
            at = os.path.join(at, part)
            with suppress(FileExistsError):
                os.mkdir(at)
            if os.path.islink(at):
                raise FileError(f"{os.fsdecode(at)} is a link: nothing is written through it")
        path = os.path.join(at, parts[-1])
        new = os.path.join(at, b".covey-" + secrets.token_hex(8).encode())
        try:
            fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with os.fdopen(fd, "wb") as file:
                file.write(data)
            os.replace(new, path)
        except OSError:
            with suppress(OSError):
                os.unlink(new)
            raise
    except OSError as error:
        where = os.fsdecode(os.path.join(at, parts[-1]))
        raise FileError(f"cannot write {where}: {error.strerror}", path=where) from error


def _parts(file: GatheredFile) -> list[bytes]:
    parts = file.name.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise FileError(f"a machine named a file {file.name[:200]!r}: refused", path=file.name)
    return parts
