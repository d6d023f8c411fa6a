"""Programs of users, run as they run them."""

import os
import subprocess
import sys
from pathlib import Path

#: Longest that one of them may take.
PROGRAM_LIMIT_S = 120.0


def run(directory: Path, *args: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Python with `args`, in a directory; `text` is its standard input."""
    return subprocess.run(
        [sys.executable, *args],
        input=text,
        capture_output=True,
        text=True,
        cwd=directory,
        timeout=PROGRAM_LIMIT_S,
        check=False,
    )


def script(directory: Path, text: str, name: str = "program.py") -> str:
    """The output of a script; it must succeed and complain of nothing."""
    (directory / name).write_text(text)
    done = run(directory, name)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def start(directory: Path, text: str, name: str = "program.py") -> subprocess.Popen[str]:
    """A script that is left running; its output is a pipe."""
    (directory / name).write_text(text)
    return subprocess.Popen(
        [sys.executable, "-u", name],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=os.environ,
    )
