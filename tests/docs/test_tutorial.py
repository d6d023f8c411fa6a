"""The tutorial runs, prints what its pages say, and shows the very files that ran."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT
from tools import tutorial


@pytest.mark.timeout(180)
def test_the_code_of_the_tutorial_prints_what_is_recorded():
    for name, printed in tutorial.run_all().items():
        recorded = tutorial.output_file(tutorial.CODE / name).read_text()
        assert printed == recorded, f"{name} prints something else: make docs, and read the change"


@pytest.mark.parametrize("page", tutorial.pages(), ids=lambda path: path.name)
def test_a_page_shows_the_files_as_they_are(page: Path):
    assert page.read_text() == tutorial.filled(page), "run: make docs"


def test_the_python_lines_of_the_readme_run(tmp_path: Path):
    readme = (ROOT / "README.md").read_text()
    script = readme.split("```python\n")[1].split("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("332833500\n", "")
