"""An errand on its machine: the script is put there, and what it writes is picked up.

Below the working directory of the agent, for a project P:

    data/P/          COVEY_DATA: what was pushed before
    output/P/        COVEY_OUTPUT: what is new or changed here afterwards is brought back; noted
                     when it is made (`agent.outputs`)

The script is in `bin/P/` of the agent's own directory, replaced when its bytes differ.
Links are not followed, and nothing is moved.
"""

import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from covey.agent.outputs import Notes
from covey.agent.spawning import NOT_RUNNABLE, CannotStart
from covey.model.errand import (
    GATHER_FILES_MAX,
    GATHER_MAX_BYTES,
    LEFT_NAMES_MAX,
    Errand,
    Gathered,
    GatheredFile,
)

#: (modified, changed, size, inode): a file with the same four was not written to.
_Stamp = tuple[int, int, int, int]
_PYTHON_SUFFIX = b".py"


@dataclass(slots=True)
class LaidOut:
    """An errand that is ready to be started."""

    argv: list[bytes]
    env: dict[bytes, bytes]
    cwd: str
    #: COVEY_OUTPUT; b"" = nothing is gathered.
    output: bytes = b""
    before: dict[bytes, _Stamp] = field(default_factory=dict[bytes, _Stamp])
    #: Directories that were made for it, the innermost first.
    made: list[bytes] = field(default_factory=list[bytes])


def lay_out(
    errand: Errand, workdir: str, scripts: str, shell: bytes, notes: Notes | None = None
) -> LaidOut:
    """Make all that the errand needs; its script comes below `scripts`.

    Raises:
        CannotStart: something of it cannot be made.
    """
    top = os.path.abspath(os.path.expanduser(workdir))
    laid = LaidOut([], dict(os.environb), top)
    laid.env |= {os.fsencode(name): os.fsencode(value) for name, value in errand.env.items()}
    at = os.fsencode(top)
    try:
        os.makedirs(at, exist_ok=True)
        if errand.project:
            _lay_out_project(laid, top, os.fsencode(errand.project), notes or Notes(""))
        laid.argv = _argv(errand, os.fsencode(scripts), shell)
    except OSError as error:
        where = os.fsdecode(error.filename or at)
        raise CannotStart(NOT_RUNNABLE, f"{where}: {error.strerror}") from error
    return laid


def gather(laid: LaidOut) -> Gathered:
    """What the errand wrote to COVEY_OUTPUT."""
    if not laid.output:
        return Gathered()
    files: list[GatheredFile] = []
    left: list[bytes] = []
    left_count = left_bytes = size_bytes = 0
    for name, fd, found in _files(laid.output):
        if laid.before.get(name) == _stamp(found):
            continue
        fits = size_bytes + found.st_size <= GATHER_MAX_BYTES and len(files) < GATHER_FILES_MAX
        data = _read(fd, os.path.basename(name), found) if fits else None
        if data is None:
            left_count += 1
            left_bytes += found.st_size
            if len(left) < LEFT_NAMES_MAX:
                left.append(name)
            continue
        size_bytes += len(data)
        mode = stat.S_IMODE(found.st_mode) & 0o777
        files.append(GatheredFile(name, mode, found.st_mtime, data))
    for directory in laid.made:
        # Nothing was written: nothing of ours stays.
        with suppress(OSError):
            os.rmdir(directory)
    return Gathered(tuple(files), tuple(left), left_count, left_bytes, laid.output)


def _lay_out_project(laid: LaidOut, workdir: str, project: bytes, notes: Notes) -> None:
    _check_name(project)
    top = os.fsencode(workdir)
    laid.env[b"COVEY_PROJECT"] = project
    laid.env[b"COVEY_DATA"] = os.path.join(top, b"data", project)
    laid.env[b"COVEY_OUTPUT"] = laid.output = os.path.join(top, b"output", project)
    laid.made = [*map(os.fsencode, notes.make(workdir, ["output", os.fsdecode(project)]))]
    laid.before = {name: _stamp(found) for name, _, found in _files(laid.output)}


def _argv(errand: Errand, scripts: bytes, shell: bytes) -> list[bytes]:
    python = [os.fsencode(sys.executable or "python3")]
    if errand.script_name:
        path = _put_script(errand, scripts)
        command = [*python, path] if path.endswith(_PYTHON_SUFFIX) else [path]
        return [*command, *errand.argv]
    if errand.line:
        return [shell, b"-c", errand.line]
    return [*python, *errand.argv] if errand.is_python else list(errand.argv)


def _put_script(errand: Errand, scripts: bytes) -> bytes:
    _check_name(errand.script_name)
    directory = os.path.join(scripts, b"bin", os.fsencode(errand.project))
    path = os.path.join(directory, errand.script_name)
    with suppress(OSError):
        if Path(os.fsdecode(path)).read_bytes() == errand.script:
            return path
    os.makedirs(directory, exist_ok=True)
    # Another run may be executing the old one: it keeps its file.
    part = os.path.join(directory, b"." + secrets.token_hex(8).encode())
    try:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700)
        with os.fdopen(fd, "wb") as file:
            file.write(errand.script)
        os.replace(part, path)
    except OSError:
        with suppress(OSError):
            os.unlink(part)
        raise
    return path


def _check_name(name: bytes) -> None:
    if name in (b"", b".", b"..") or b"/" in name or b"\0" in name:
        raise CannotStart(NOT_RUNNABLE, f"{os.fsdecode(name)!r} is no name of a file")


def _files(top: bytes) -> Iterator[tuple[bytes, int, os.stat_result]]:
    """(name below `top`, descriptor of its directory, what it is) of each plain file, in order."""
    walk = os.fwalk(top, follow_symlinks=False)
    for directory, folders, names, fd in walk:
        folders.sort()
        for name in sorted(names):
            with suppress(OSError):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    yield os.path.relpath(os.path.join(directory, name), top), fd, found


def _stamp(found: os.stat_result) -> _Stamp:
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _read(directory: int, name: bytes, found: os.stat_result) -> bytes | None:
    """The bytes of a file, at most as many as it had; None when it cannot be read."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        with os.fdopen(fd, "rb") as file:
            return file.read(found.st_size)
    except OSError:
        return None
