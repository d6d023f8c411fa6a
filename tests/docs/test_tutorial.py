"""The tutorial runs, prints what its pages say, and shows the very files that ran."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT
from tests.fleets import a_fleet
from tools import tutorial

from covey.testing.waiting import COMMAND_MAX_S

FILES = tutorial.code_files()


@pytest.mark.timeout(600)
def test_the_code_of_the_tutorial_prints_what_is_recorded():
    _compare(tutorial.run_files([path for path in FILES if not tutorial.needs_machines(path)], {}))


@pytest.mark.timeout(900)
def test_the_code_about_machines_over_ssh_prints_what_is_recorded():
    with a_fleet(2) as machines:
        files = [path for path in FILES if tutorial.needs_machines(path)]
        assert files
        _compare(tutorial.run_files(files, machines.env))


def _compare(printed: dict[str, str]) -> None:
    assert printed
    for name, text in printed.items():
        recorded = tutorial.output_file(tutorial.CODE / name).read_text()
        assert text == recorded, f"{name} prints something else: make docs, and read the change"


@pytest.mark.parametrize("page", tutorial.pages(), ids=lambda path: path.name)
def test_a_page_shows_the_files_as_they_are(page: Path):
    assert page.read_text() == tutorial.filled(page), "run: make docs"


def test_the_python_lines_of_the_readme_run(tmp_path: Path):
    readme = (ROOT / "README.md").read_text()
    script = readme.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert (done.stdout, done.stderr) == ("332833500\n", "")
