"""Directories that hold what tasks wrote: noted when they are made, for `down --purge --data`.

    <cache>/noted/<pid>    by each slot child: records, each with a NUL behind it
        data INODE PATH    made for a task or a project; what is in it is removed with it
        above PATH         made above such a one; removed when it is empty

Only what covey made is noted, and only that is removed: not a directory that was there before, not
one that came to its place later (its inode differs), not what a link leads to.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The directory of the notes, in that of the agent.
NAME = "noted"
#: Files of one directory are counted up to here: a look is to take seconds.
COUNT_MAX = 100_000
#: Directories of tasks come and go below a few that are shared: so often one is made again.
TRIES_MAX = 100

#: A directory of one task: `job7/12.1`.
_OF_TASK = re.compile(r"/job[0-9]+/[0-9]+\.[0-9]+(?:-[0-9]+)?$")
_NOTES_MODE = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Held:
    """A directory of a project; or one of a job, with those of its tasks that are left."""

    path: str
    #: Of tasks; 0 = it is a project's.
    tasks: int
    #: Counted up to `COUNT_MAX`.
    files: int
    size_bytes: int


class Notes:
    """Makes directories for tasks, and notes them. Of one slot child, which has one task at a time.

    Where a note cannot be written the task runs all the same: its directory then stays for ever.
    """

    def __init__(self, cache_dir: str) -> None:
        """cache_dir: "" = nothing is noted: nobody purges what a call has made here."""
        self._file = os.path.join(cache_dir, NAME, str(os.getpid())) if cache_dir else ""
        self._above: set[str] = set()
        #: The directory that was noted last, and how long the file was before.
        self._last = ""
        self._size = 0

    def make(self, top: str, names: Sequence[str], mode: int = 0o777) -> list[str]:
        """Make `top/a/b` of the names a and b; returns what was not there, the innermost first.

        mode: of the last one.

        Raises:
            OSError: one cannot be made.
        """
        for _ in range(TRIES_MAX):
            try:
                return self._make(top, names, mode)
            except FileNotFoundError:
                # Another slot has just removed one that was empty.
                os.makedirs(top, exist_ok=True)
        return self._make(top, names, mode)

    def settle(self) -> None:
        """The task has ended: a directory that is gone again is forgotten."""
        if self._last and not os.path.lexists(self._last):
            with suppress(OSError):
                os.truncate(self._file, self._size)
        self._last = ""

    def _make(self, top: str, names: Sequence[str], mode: int) -> list[str]:
        made: list[str] = []
        path = top
        for number, name in enumerate(names, 1):
            path = os.path.join(path, name)
            is_last = number == len(names)
            try:
                os.mkdir(path, mode if is_last else 0o777)
            except FileExistsError:
                continue
            made.insert(0, path)
            if self._file:
                with suppress(OSError):
                    self._note(os.path.realpath(path), is_data=is_last)
        return made

    def _note(self, path: str, *, is_data: bool) -> None:
        if not is_data and path in self._above:
            return
        os.makedirs(os.path.dirname(self._file), mode=0o700, exist_ok=True)
        text = f"data {os.lstat(path).st_ino} {path}\0" if is_data else f"above {path}\0"
        fd = os.open(self._file, _NOTES_MODE, 0o600)
        try:
            size = os.fstat(fd).st_size
            os.write(fd, os.fsencode(text))
        finally:
            os.close(fd)
        if is_data:
            self._last, self._size = path, size
        else:
            self._above.add(path)


def held(cache_dir: Path) -> list[Held]:
    """What is there of all that was noted; directories of tasks by their job."""
    found: dict[str, Held] = {}
    for path in _data(cache_dir):
        is_of_task = _OF_TASK.search(path) is not None
        name = os.path.dirname(path) if is_of_task else path
        files, size_bytes = _count(path)
        before = found.get(name, Held(name, 0, 0, 0))
        found[name] = Held(
            name, before.tasks + is_of_task, before.files + files, before.size_bytes + size_bytes
        )
    return [found[name] for name in sorted(found)]


def remove(cache_dir: Path) -> None:
    """Remove it, with all that is in it.

    Raises:
        OSError: something cannot be removed.
    """
    for path in _data(cache_dir):
        # It follows no link, and refuses one in place of the directory itself.
        shutil.rmtree(path)


def remove_empty(cache_dir: Path) -> None:
    """Remove the directories of tasks and those above, where nothing is in them."""
    above = [path for word, path in _records(cache_dir) if word == "above"]
    # Of a task that was killed with its agent nobody removed it.
    ours = {*above, *(path for path in _data(cache_dir) if _OF_TASK.search(path))}
    for path in sorted(ours, key=len, reverse=True):
        if os.path.realpath(path) == path:
            with suppress(OSError):
                os.rmdir(path)


def _data(cache_dir: Path) -> list[str]:
    """Directories that are the very ones that were made."""
    found: set[str] = set()
    for word, rest in _records(cache_dir):
        inode, _, path = rest.partition(" ")
        if word != "data" or not inode.isdecimal() or os.path.realpath(path) != path:
            continue
        with suppress(OSError):
            there = os.lstat(path)
            if stat.S_ISDIR(there.st_mode) and there.st_ino == int(inode):
                found.add(path)
    return sorted(found)


def _records(cache_dir: Path) -> Iterator[tuple[str, str]]:
    """(first word, the rest) of each record that is whole."""
    for file in sorted((cache_dir / NAME).glob("*")):
        with suppress(OSError):
            *records, _ = file.read_bytes().split(b"\0")
            for record in records:
                word, _, rest = os.fsdecode(record).partition(" ")
                if os.path.isabs(rest.partition(" ")[2] if word == "data" else rest):
                    yield word, rest


def _count(path: str) -> tuple[int, int]:
    """(files, bytes) in a directory."""
    files = size_bytes = 0
    for directory, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                size_bytes += os.lstat(os.path.join(directory, name)).st_size
            files += 1
        if files >= COUNT_MAX:
            break
    return files, size_bytes
