"""Runs the code of the tutorial, and puts code and output into its pages.

A page shows a file by naming it in a comment before a fence; what stands in the fence is written by
`make docs` and checked by tests/docs, so a page cannot differ from what runs:

    <!-- code/01_map.sh -->
    <!-- output of code/01_map.sh -->

Files run in the order of their names, in one fresh directory with a state directory of its own.
Those with `_ssh_` in their names have two machines lab1 and lab2, real sshd's on this computer.
What differs from run to run (times, dates) is written as `…`.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from covey.testing.sshd import fleet

ROOT = Path(__file__).resolve().parents[1]
TUTORIAL = ROOT / "docs" / "tutorial"
CODE = TUTORIAL / "code"
#: Longest that one file of the tutorial may run.
FILE_LIMIT_S = 180.0

_BLOCK = re.compile(
    r"^<!-- (?P<kind>output of )?(?P<file>\S*code/\S+) -->\n```\w*\n.*?^```$",
    re.MULTILINE | re.DOTALL,
)
_LANGUAGE = {".sh": "sh", ".py": "python"}
#: What no two runs print alike.
_VARIES = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d)?"), "…"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "…"),
    (re.compile(r"\b[\d,]+(\.\d+)? ?/s\b"), "…/s"),
    (re.compile(r"\b\d+(\.\d+)? ?(µs|ms|s|min)\b"), "… s"),
    (re.compile(r"\b\d+ slots?\b"), "… slots"),
    (re.compile(r"^\d{10}\.\d{3}\t", re.MULTILINE), "…\t"),
    (re.compile(r" py3\.\d+ "), " py3.… "),
    (re.compile(r" {2,}… (?=s|slots)"), "  … "),
    # Only whoever runs this as root is told so.
    (re.compile(r"^covey: agents run as root.*\n", re.MULTILINE), ""),
    # Only on a machine that takes seconds for it is it told what is waited for.
    (re.compile(r"^covey: \d+ of \d+ done, waiting for .*\n", re.MULTILINE), ""),
)
#: Lines of machines, whichever was first.
_AS_THEY_COME = re.compile(r"(?:^(?:  ✔|created) .*\n)+", re.MULTILINE)


def code_files() -> list[Path]:
    """The files that run, in order."""
    return sorted(path for path in CODE.iterdir() if path.suffix in _LANGUAGE)


def needs_machines(code: Path) -> bool:
    """Whether it is a file of the pages about machines over ssh."""
    return "_ssh_" in code.name


def run_all() -> dict[str, str]:
    """File name -> what it printed (stdout and stderr as a terminal shows them), normalised.

    Raises:
        RuntimeError: a file did not end with 0.
        Unavailable: this computer has no sshd.
    """
    local = [path for path in code_files() if not needs_machines(path)]
    printed = run_files(local, {})
    with fleet(2) as machines:
        over_ssh = [path for path in code_files() if needs_machines(path)]
        return printed | run_files(over_ssh, machines.env)


def run_files(files: Sequence[Path], more_env: Mapping[str, str]) -> dict[str, str]:
    """Run some of them, one after the other, in a fresh directory.

    Raises:
        RuntimeError: a file did not end with 0.
    """
    with tempfile.TemporaryDirectory(prefix="covey-tutorial-") as name:
        here = Path(name) / "here"
        here.mkdir()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("COVEY_", "PARALLEL_"))}
        bin_directory = str(Path(sys.executable).parent)
        env |= {
            "COVEY_HOME": str(Path(name) / "state"),
            "PATH": f"{bin_directory}{os.pathsep}{env.get('PATH', '')}",
            "XDG_CONFIG_HOME": str(Path(name) / "config"),
            "XDG_CACHE_HOME": str(Path(name) / "cache"),
            **more_env,
        }
        return {path.name: _run(path, here, env) for path in files}


def _run(path: Path, here: Path, env: dict[str, str]) -> str:
    program = ["sh", str(path)] if path.suffix == ".sh" else [sys.executable, str(path)]
    done = subprocess.run(
        program,
        cwd=here,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=FILE_LIMIT_S,
        check=False,
    )
    text = done.stdout.decode()
    if done.returncode != 0:
        raise RuntimeError(f"{path.name} ended with {done.returncode}:\n{text}")
    return normalised(text, here)


def normalised(text: str, here: Path) -> str:
    """The text without what varies from run to run."""
    text = text.replace(str(here), "~").replace(str(here.parent), "~/..")
    for pattern, instead in _VARIES:
        text = pattern.sub(instead, text)
    text = _AS_THEY_COME.sub(lambda run: "".join(sorted(run[0].splitlines(keepends=True))), text)
    return "".join(line.rstrip() + "\n" for line in text.splitlines())


def output_file(code: Path) -> Path:
    """Where the recorded output of a code file is."""
    return code.with_suffix(".out")


def filled(page: Path) -> str:
    """The page with its blocks as the files are now."""

    def block(match: re.Match[str]) -> str:
        code = (page.parent / match["file"]).resolve()
        shown = output_file(code) if match["kind"] else code
        language = "text" if match["kind"] else _LANGUAGE[code.suffix]
        head = match[0].split("\n", 1)[0]
        return f"{head}\n```{language}\n{shown.read_text(encoding='utf-8').rstrip()}\n```"

    return _BLOCK.sub(block, page.read_text(encoding="utf-8"))


def pages() -> list[Path]:
    """Pages that show code files."""
    return sorted([*TUTORIAL.glob("*.md"), *(ROOT / "docs" / "how-to").glob("*.md")])


def main() -> None:
    """Run everything, record the outputs, fill the pages."""
    for name, text in run_all().items():
        output_file(CODE / name).write_text(text, encoding="utf-8")
    for page in pages():
        page.write_text(filled(page), encoding="utf-8")
    print(f"ran {len(code_files())} files, filled {len(pages())} pages")


if __name__ == "__main__":
    main()
