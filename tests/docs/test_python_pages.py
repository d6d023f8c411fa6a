"""The Python of the how-to page on machines runs, and prints what stands below it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.architecture.tree import ROOT

from covey.testing.cluster import Lab
from covey.testing.waiting import COMMAND_MAX_S

PAGE = ROOT / "docs" / "how-to" / "use-machines-from-python.md"
#: A program, and what stands below it.
_EXAMPLE = re.compile(r"```python\n(.*?)```.*?```text\n(.*?)```", re.DOTALL)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [0, 1])
def test_an_example_prints_what_stands_below_it(tmp_path: Path, number: int):
    program, printed = _EXAMPLE.findall(PAGE.read_text())[number]
    with Lab(tmp_path) as lab:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path,
            env=lab.env,
            capture_output=True,
            text=True,
            check=False,
            timeout=COMMAND_MAX_S,
        )
        assert (done.stdout, done.stderr) == (printed, "")
