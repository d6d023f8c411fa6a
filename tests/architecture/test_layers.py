"""The rows of the tree: import-linter keeps them, and no package escapes it."""

import subprocess
import sys
import tomllib
from typing import Any

from tests.architecture.tree import ROOT, SOURCE

from covey.testing.waiting import COMMAND_MAX_S

CONFIG = ROOT / "importlinter.toml"
#: A row of the tree that may do I/O and so is bound only by the contract on NATS.
OUTER_ROWS = frozenset(
    {"agent", "scheduler", "supervisor", "client", "fleet", "files", "cli", "head", "engines"}
)


def _contracts() -> list[dict[str, Any]]:
    return tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]


def _packages() -> set[str]:
    return {path.parent.name for path in SOURCE.glob("*/__init__.py")}


def test_import_linter_keeps_all_contracts():
    script = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--config", str(CONFIG), "--no-cache", "--no-logo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(_contracts())} kept, 0 broken" in done.stdout


def test_a_row_stands_in_parentheses_only_while_it_does_not_exist():
    layers: list[str] = next(c["layers"] for c in _contracts() if c["type"] == "layers")
    names = [name.strip() for row in layers for name in row.split("|")]
    modules = _packages() | {path.stem for path in SOURCE.glob("*.py")}
    for name in names:
        assert (name.strip("()") in modules) == (not name.startswith("(")), name


def test_each_outer_row_is_bound_by_the_contract_on_nats():
    contract = next(c for c in _contracts() if c["name"] == "Only bus.nats knows NATS")
    bound = {name.removeprefix("covey.") for name in contract["source_modules"]}
    assert (_packages() & OUTER_ROWS) - bound == set()


def test_nobody_ships_what_is_for_tests():
    """Nothing imports covey.testing but tests, and itself."""
    from tests.architecture.tree import imported_modules, python_files, shown

    found = [
        shown(path)
        for path in python_files(SOURCE)
        if not path.is_relative_to(SOURCE / "testing")
        and any(name.startswith("covey.testing") for name in imported_modules(path))
    ]
    assert found == []
