"""`bus.json`.

What is needed to find, use and adopt a server that outlives us (protocol.md rule 33).
"""

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

#: Name of the record in the directory of its server.
NAME = "bus.json"


@dataclass(frozen=True, slots=True)
class BusRecord:
    """A running server of ours. The password itself is in a 0600 file of its own."""

    url: str
    user: str
    password_file: str
    pid: int
    #: Start time of the process in clock ticks since boot, so that a reused pid is not taken for
    #: it.
    started: int

    def password(self) -> str:
        """The account's password.

        Raises:
            OSError: the file is gone.
        """
        return Path(self.password_file).read_text().strip()


def write_record(directory: Path, record: BusRecord) -> None:
    """Write `bus.json`, replacing any."""
    write_private(directory / NAME, json.dumps(asdict(record)) + "\n")


def read_record(directory: Path) -> BusRecord | None:
    """The record there, or None: no file, or not one of ours."""
    try:
        return BusRecord(**json.loads((directory / NAME).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def is_running(record: BusRecord) -> bool:
    """Whether the very process of the record is alive."""
    return start_time(record.pid) == record.started


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot.

    None if it does not run (or no /proc).
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command's name in parentheses and may hold anything.
    words = text[text.rindex(")") + 2 :].split()
    state, started = words[0], int(words[19])
    return None if state in "ZX" else started


def write_private(path: Path, text: str) -> None:
    """Write a 0600 file in one step: whoever reads it sees all of the old or all of the new.

    Raises:
        OSError: it cannot be written; the old file is untouched.
    """
    # Two threads may write one file at a time: one of them is last.
    new = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "w", encoding="utf-8") as file:
            file.write(text)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
