"""Directories on machines: the errand that makes them, and what it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from covey.client.errands import ErrandResult
from covey.model.errand import Errand

#: Of the jobs that make directories (`ErrandOrder.kind`).
MKDIR = "mkdir"

#: Runs on the machine; answers a word for each path, each with a NUL behind it.
_PROGRAM = """
import os, sys
failed = 0
for path in map(os.fsencode, sys.argv[2:]):
    path = os.path.expanduser(path)
    try:
        if sys.argv[1] == "parents" and not os.path.isdir(path):
            os.makedirs(path)
        else:
            os.mkdir(path)
        word = "created"
    except OSError as error:
        word = "exists" if os.path.isdir(path) else "!" + (error.strerror or str(error))
    failed |= word[0] == "!"
    sys.stdout.write(word + "\\0")
sys.exit(failed)
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What became of one path on one machine."""

    path: bytes
    state: Literal["created", "exists", "failed"]
    #: Why it failed.
    error: str = ""


def mkdir_errand(paths: Sequence[bytes], *, parents: bool = False) -> Errand:
    """The errand that makes these directories.

    parents: also those above them; else a missing one is the machine's error.
    """
    mode = b"parents" if parents else b"-"
    return Errand(argv=(b"-ISc", _PROGRAM.encode(), mode, *paths), is_python=True)


def made(result: ErrandResult, paths: Sequence[bytes]) -> list[Made]:
    """What a machine answered, for each path."""
    words = result.stdout.decode("utf-8", "replace").split("\0")[:-1]
    told = result.stderr.decode("utf-8", "replace").strip().splitlines()
    why = result.reason or (told[-1] if told else f"it ended {result.end}")
    found: list[Made] = []
    for number, path in enumerate(paths):
        word = words[number] if number < len(words) else f"!{why}"
        if word == "created":
            found.append(Made(path, "created"))
        elif word == "exists":
            found.append(Made(path, "exists"))
        else:
            found.append(Made(path, "failed", word.removeprefix("!")))
    return found
