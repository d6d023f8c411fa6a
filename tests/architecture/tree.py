"""What the architecture tests look at: the files git knows, and their syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path

from covey.testing.waiting import COMMAND_MAX_S

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "covey"


@cache
def tracked_files() -> tuple[Path, ...]:
    """Files of the project, new ones included; in a tree without git, all that stand there."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    if listed.returncode == 0:
        names = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    else:
        names = [path for path in ROOT.rglob("*") if ".venv" not in path.parts]
    return tuple(sorted(path for path in names if path.is_file()))


@cache
def python_files(below: Path = ROOT) -> tuple[Path, ...]:
    """Python files of the project under a directory."""
    return tuple(
        path for path in tracked_files() if path.suffix == ".py" and path.is_relative_to(below)
    )


@cache
def syntax_tree(path: Path) -> ast.Module:
    """The parsed file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def shown(path: Path) -> str:
    """The path as people write it."""
    return path.relative_to(ROOT).as_posix()


def imported_modules(path: Path) -> set[str]:
    """Names of the modules that a file imports, anywhere (`from a import b`: `a` and `a.b`)."""
    found: set[str] = set()
    for node in ast.walk(syntax_tree(path)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute chain that starts with a name, else what hangs behind it (`.b.c`)."""
    parts: list[str] = []
    at: ast.expr = node
    while isinstance(at, ast.Attribute):
        parts.append(at.attr)
        at = at.value
    parts.append(at.id if isinstance(at, ast.Name) else "")
    return ".".join(reversed(parts))


def calls(path: Path) -> list[tuple[str, int]]:
    """(dotted name of what is called, line) for each call in a file."""
    return [
        (dotted(node.func), node.lineno)
        for node in ast.walk(syntax_tree(path))
        if isinstance(node, ast.Call)
    ]
