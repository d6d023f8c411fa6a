"""Directories that were not there before covey: noted, so that a purge can take them away again."""

import contextlib
import os
from pathlib import Path

#: The file, in the directory of the cluster.
NAME = "made"


def make_dirs(path: Path, note: Path | None) -> None:
    """Make a directory and those above it; what was not there is added to `note`.

    Raises:
        OSError: one cannot be made.
    """
    missing: list[Path] = []
    at = path
    while not at.exists():
        missing.append(at)
        at = at.parent
    path.mkdir(parents=True, exist_ok=True)
    if missing and note is not None:
        with note.open("a") as file:
            file.write("".join(f"{one}\n" for one in missing))


def noted(note: Path) -> set[Path]:
    """What the file tells."""
    try:
        return {Path(line) for line in note.read_text().splitlines()}
    except OSError:
        return set()


def remove_empty(paths: set[Path]) -> None:
    """Remove those that are empty; what somebody put something into stays."""
    # Below before above.
    for path in sorted(paths, key=lambda one: len(one.parts), reverse=True):
        with contextlib.suppress(OSError):
            os.rmdir(path)
