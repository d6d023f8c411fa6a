"""Writes the pages of docs/reference that are made from the source; a test keeps them current.

python tools/gen_reference.py            write them
python tools/gen_reference.py --check    say which are not current, exit code 1
"""

import argparse
import ast
import contextlib
import inspect
import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "covey"
REFERENCE = ROOT / "docs" / "reference"
_MADE = "*Made from the source by `make docs`; do not edit.*"

sys.path.insert(0, str(ROOT))


def _help_of(*words: str) -> str:
    from covey.cli.main import main

    # As on a terminal of 80 columns, whoever runs this.
    for name in ("COVEY_CLUSTER", "COVEY_HOME"):
        os.environ.pop(name, None)
    os.environ["COLUMNS"] = "80"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = main([*words, "--help"])
    assert code == 0, f"covey {' '.join(words)} --help ended with {code}"
    return printed.getvalue().rstrip()


def commands_page() -> str:
    """cli.md: what `--help` prints, for covey and each of its commands."""
    from covey.cli.tree import COMMANDS

    lines = ["# Commands", "", _MADE, "", "```text", _help_of(), "```"]
    for name in COMMANDS:
        lines += ["", f"## covey {name}", "", "```text", _help_of(name), "```"]
    return "\n".join(lines) + "\n"


def errors_page() -> str:
    """errors.md: the tree of errors, and what each says."""
    import covey.errors as errors

    tree = inspect.cleandoc(errors.__doc__ or "").split("\n\n")[1]
    lines = ["# Errors", "", _MADE, ""]
    lines += [
        "Every error that covey raises. A leaf is also the builtin that one would catch; data is"
    ]
    lines += [
        "in attributes. On the command line each is one line, and `-v` adds where it came from."
    ]
    lines += [
        "",
        "```text",
        inspect.cleandoc(tree),
        "```",
        "",
        "| error | says | retryable |",
        "|---|---|---|",
    ]
    for name, kind in vars(errors).items():
        if inspect.isclass(kind) and issubclass(kind, errors.CoveyError):
            says = " ".join((kind.__doc__ or "").split())
            lines.append(f"| `{name}` | {says} | {'yes' if kind.retryable else ''} |")
    return "\n".join(lines) + "\n"


def limits_page() -> str:
    """limits.md: every documented constant of the source."""
    lines = ["# Limits and other constants", "", _MADE, ""]
    lines += ["Every queue, wait, retry and payload has a limit, and the limit has a name."]
    for path in sorted(SOURCE.rglob("*.py")):
        found = _constants(path)
        if found:
            lines += [
                "",
                f"## {path.relative_to(SOURCE).as_posix()}",
                "",
                "| name | value | |",
                "|---|---|---|",
            ]
            lines += [f"| `{name}` | `{value}` | {sentence} |" for name, value, sentence in found]
    return "\n".join(lines) + "\n"


def _constants(path: Path) -> list[tuple[str, str, str]]:
    """(name, value, sentence) of upper-case constants with numbers and a `#:` comment above."""
    text = path.read_text(encoding="utf-8")
    source = text.splitlines()
    found: list[tuple[str, str, str]] = []
    for node in ast.parse(text).body:
        name, value = _assigned(node)
        if value is None or not name.isupper() or name.startswith("_"):
            continue
        if not all(
            isinstance(n, ast.Constant | ast.BinOp | ast.UnaryOp | ast.operator | ast.unaryop)
            for n in ast.walk(value)
        ):
            continue
        comment: list[str] = []
        line = node.lineno - 2
        while line >= 0 and source[line].startswith("#:"):
            comment.insert(0, source[line].removeprefix("#:").strip())
            line -= 1
        if comment and not isinstance(getattr(value, "value", 0), str):
            found.append((name, ast.unparse(value), " ".join(comment).replace("|", "\\|")))
    return found


def _assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def settings_page() -> str:
    """settings.md: what the environment sets, from the fields of Settings."""
    text = (SOURCE / "settings.py").read_text(encoding="utf-8")
    body = text.split("class Settings:")[1].split("@property")[0]
    fields = re.findall(r"((?:    #: .*\n)+)    (\w+): (\w+)(?: = (.+))?\n", body)
    lines = [
        "# Settings",
        "",
        _MADE,
        "",
        "A flag wins over the environment, the environment over the default.",
    ]
    lines += ["", "| setting | default | |", "|---|---|---|"]
    for comment, name, _, default in fields:
        sentence = " ".join(
            part.strip().removeprefix("#:").strip() for part in comment.splitlines()
        )
        lines.append(f"| {name} | {default or ''} | {sentence} |")
    return "\n".join(lines) + "\n"


def config_page() -> str:
    """covey-toml.md: every key of covey.toml."""
    from covey.fleet.fields import FIELDS
    from covey.fleet.formats_toml import (
        BUS_KEYS,
        EXAMPLE,
        GROUP_KEYS,
        SHARED_KEYS,
        TOP_KEYS,
        USER_KEYS,
    )

    lines = ["# covey.toml", "", _MADE, ""]
    lines += [
        "Machines of a project stand in `./covey.toml`, those of a user in",
        "`$XDG_CONFIG_HOME/covey/config.toml` (`~/.config/covey/config.toml`), in one form. Both",
        "are read. Machines are those of the first that names any; of every other key the nearer",
        "file wins. Machines named on the command line, with `-H` or in `COVEY_HOSTS` come before",
        "both; what a file says of a machine by its name then still holds.",
        "",
        "Nearer wins: what the word itself says (`8/pi@rack`), then `--slots`, `[machines.NAME]`,",
        "its groups (of two that disagree the last in the alphabet, which is said), `[defaults]`.",
        "An unknown key is an error that names the nearest right one; `covey hosts check` explains",
        "every bad line. A file of another user, or that everybody may write to, is not read.",
        "",
        "```toml",
        EXAMPLE.strip(),
        "```",
    ]

    def table(title: str, rows: dict[str, tuple[str, str]]) -> None:
        lines.extend(["", f"## {title}", "", "| key | example | |", "|---|---|---|"])
        lines.extend(f"| `{key}` | `{example}` | {says} |" for key, (says, example) in rows.items())

    fields = {key: (field.sentence, field.example) for key, field in FIELDS.items()}
    table("At the top", TOP_KEYS)
    table("[machines.NAME]", fields)
    table("[groups.NAME]", GROUP_KEYS | {key: fields[key] for key in SHARED_KEYS})
    table("[defaults]", {key: fields[key] for key in SHARED_KEYS})
    table("[bus]", {key: (says, f'"{example}"') for key, (says, example) in BUS_KEYS.items()})
    table("[users], each NAME", USER_KEYS)
    lines += [
        "",
        '`"*"` stands for everybody who is not named; without it they have weight 1 and priorities',
        "up to 0. Without [users] everybody may ask for everything. Of two files the nearer one",
        "that has the section counts, as a whole. `covey up` takes it to the cluster, each time.",
    ]
    return "\n".join(lines) + "\n"


#: Public names, and where they are made; of a module each public function.
_PUBLIC = (
    ("covey.Executor", "client/executor.py", "Executor"),
    ("covey.Cluster", "cluster.py", "Cluster"),
    ("covey.aio", "aio.py", ""),
)
#: What their methods answer.
_RESULTS = ("client/machine_results.py",)


def python_page() -> str:
    """python.md: the public names, with their docstrings."""
    lines = ["# Python", "", _MADE, ""]
    lines += ["`import covey` gives these names, each loaded on first use."]
    for title, file, name in _PUBLIC:
        tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
        if name:
            lines += _class_lines(_class_of(tree, name), title)
        else:
            lines += ["", f"## {title}", "", ast.get_docstring(tree) or ""]
            lines += [line for node in tree.body for line in _function_lines(node)]
    lines += ["", "## Results", "", "Frozen values in `covey.cluster`."]
    for file in _RESULTS:
        tree = ast.parse((SOURCE / file).read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                lines += ["", f"### {node.name}", "", ast.get_docstring(node) or "", ""]
                lines += [f"- `{field}`" for field in _fields_of(node)]
    return "\n".join(lines) + "\n"


def _class_of(tree: ast.Module, name: str) -> ast.ClassDef:
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == name)


def _class_lines(node: ast.ClassDef, title: str) -> list[str]:
    lines = ["", f"## {title}", "", ast.get_docstring(node) or ""]
    for member in node.body:
        is_init = isinstance(member, ast.FunctionDef) and member.name == "__init__"
        lines += _function_lines(member, title if is_init else "")
    return lines


def _function_lines(node: ast.stmt, title: str = "") -> list[str]:
    """Nothing for what is private or no function."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    if node.name.startswith("_") and not title:
        return []
    args = ast.unparse(node.args).removeprefix("self").removeprefix(", ")
    is_property = any(ast.unparse(one) == "property" for one in node.decorator_list)
    awaited = "await " if isinstance(node, ast.AsyncFunctionDef) else ""
    name = title or f"{awaited}{node.name}"
    shown = name if is_property else f"{name}({args})"
    doc = ast.get_docstring(node) or ""
    return ["", f"### `{shown}`", "", "```text", doc, "```"]


def _fields_of(node: ast.ClassDef) -> list[str]:
    fields = [
        f"{one.target.id}: {ast.unparse(one.annotation)}"
        for one in node.body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    ]
    return fields + [
        f"{one.name} -> {ast.unparse(one.returns)}"
        for one in node.body
        if isinstance(one, ast.FunctionDef) and one.returns is not None and one.decorator_list
    ]


def conformance_page() -> str:
    """conformance.md: the table of 40 capabilities."""
    from tests.conformance.table import page

    return page()


PAGES: dict[str, Callable[[], str]] = {
    "cli.md": commands_page,
    "errors.md": errors_page,
    "limits.md": limits_page,
    "settings.md": settings_page,
    "covey-toml.md": config_page,
    "python.md": python_page,
    "conformance.md": conformance_page,
}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="Writes the generated pages of docs/reference.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if not current")
    check = parser.parse_args().check
    stale: list[str] = []
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    print(f"{'not current' if check else 'written'}: {', '.join(stale) or 'nothing'}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
