"""Size limits, without exceptions: who needs more has two ideas in one place."""

import ast

import pytest
from tests.architecture.tree import python_files, shown, syntax_tree

#: Lines of a file (300 wanted).
FILE_LINES_MAX = 400
#: Lines of a function, decorators and docstring included (50 wanted).
FUNCTION_LINES_MAX = 70
#: Where modules of our own may be imported late.
LAZY_ROWS = (
    "src/covey/cli/",
    "src/covey/__init__.py",
    "src/covey/__main__.py",
    "src/covey/agent/__main__.py",
    "src/covey/agent/root.py",
    "src/covey/agent/zygote.py",
    # The root process starts before its client imports what only the loop needs.
    "src/covey/client/engine.py",
    "src/covey/client/private.py",
    # Few calls use a head elsewhere, or attach; the others do not wait for what that takes.
    "src/covey/client/reach.py",
    "src/covey/client/executor.py",
)
#: Imported where used: absent on some machines, or dear and rarely needed.
LAZY_MODULES = frozenset({"uvloop", "ctypes"})
#: Names that say nothing about what is inside.
EMPTY_NAMES = frozenset({"utils", "util", "common", "helpers", "helper", "misc", "base", "manager"})


def test_no_file_is_longer_than_its_limit():
    lengths = {
        shown(path): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()
    }
    assert lengths, "no Python file found"
    assert {name: n for name, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_its_limit():
    too_long: list[str] = []
    for path in python_files():
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                lines = (node.end_lineno or first) - first + 1
                if lines > FUNCTION_LINES_MAX:
                    too_long.append(f"{shown(path)}:{first} {node.name}: {lines} lines")
    assert too_long == []


@pytest.mark.parametrize("part", ["src", "tests", "bench", "tools"])
def test_no_module_has_a_name_that_says_nothing(part: str):
    names = [shown(path) for path in python_files() if shown(path).startswith(f"{part}/")]
    assert [name for name in names if name.split("/")[-1].removesuffix(".py") in EMPTY_NAMES] == []


def test_imports_inside_functions_are_only_for_a_fast_start():
    """A command or public name is loaded on first use; a zygote forks before anything is large."""
    found: list[str] = []
    for path in python_files():
        if not shown(path).startswith("src/covey/") or shown(path).startswith(LAZY_ROWS):
            continue
        for function in ast.walk(syntax_tree(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                found += [
                    f"{shown(path)}:{node.lineno}"
                    for node in ast.walk(function)
                    if isinstance(node, ast.Import | ast.ImportFrom) and not _is_optional(node)
                ]
    assert sorted(set(found)) == []


def _is_optional(node: ast.Import | ast.ImportFrom) -> bool:
    return isinstance(node, ast.Import) and {a.name for a in node.names} <= LAZY_MODULES
