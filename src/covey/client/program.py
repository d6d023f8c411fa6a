"""Command lines that run this covey again, wherever it was imported from."""

import sys
from pathlib import Path


def covey_root() -> str:
    """Where this covey was imported from: a directory, or an archive."""
    return str(Path(__file__).resolve().parents[2])


def python_command(module: str, *args: str) -> list[str]:
    """The command that runs a module of this covey in this Python."""
    program = f"import sys; sys.path.insert(0, {covey_root()!r}); sys.argv[0] = {module!r}; "
    program += f"from {module}.__main__ import main; main()"
    return [sys.executable, "-P", "-c", program, *args]
