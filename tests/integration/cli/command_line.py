"""The real command line, run as a person's shell runs it."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

#: No command of these tests takes longer, on a loaded machine too.
TIMEOUT_S = 120.0


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs `covey` with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COVEY_", "XDG_STATE", "NO_COLOR"))
        }
        self.env["COVEY_HOME"] = str(home)

    def __call__(self, *words: str, stdin: str = "") -> Ended:
        done = self.raw(words, stdin.encode())
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def raw(self, words: Sequence[str], stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "covey", *words],
            input=stdin,
            capture_output=True,
            env=self.env,
            timeout=TIMEOUT_S,
            check=False,
        )
