"""The archive itself: on every Python, of the same bytes, kept for a rollback."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.integration.fleet.reach import python_of

from covey.fleet import archive as building
from covey.fleet.archive import Archive


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_archive_runs_on_every_python_that_covey_supports(
    archive: Archive, tmp_path: Path, version: str
) -> None:
    python = python_of(version)
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path), "COVEY_HOME": str(tmp_path)}
    for argv, said in (
        (["--version"], "covey"),
        (["--on-machine", "look", "c", "a"], '"absent"'),
        (["map", "echo {}", ":::", "a"], "no nats-server"),
    ):
        done = subprocess.run(
            [python, "-P", "-s", str(archive.path), *argv],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            check=False,
        )
        assert said in done.stdout + done.stderr, (argv, done)
        assert "Traceback" not in done.stderr


def test_an_archive_is_the_same_whatever_the_order_of_dictionaries(tmp_path: Path) -> None:
    digests: set[str] = set()
    for number in range(2):
        program = (
            "from pathlib import Path; from covey.fleet import archive;"
            f"print(archive.current(Path({str(tmp_path / str(number))!r})).digest)"
        )
        # The second has other modules loaded, and another order of sets.
        more = "import asyncio, sqlite3, decimal, rich.console;" if number else ""
        done = subprocess.run(
            [sys.executable, "-c", more + program],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": str(number)},
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


def test_archives_of_earlier_versions_are_kept_for_a_while(tmp_path: Path) -> None:
    first = building.current(tmp_path)
    for number in range(6):
        old = tmp_path / building.archive_name(f"{number:012x}")
        old.write_bytes(b"older")
        os.utime(old, (number, number))
    with contextlib.suppress(FileNotFoundError):
        (tmp_path / "archive.json").unlink()
    assert building.current(tmp_path).digest == first.digest
    assert len(building.every(tmp_path)) == building.KEPT + 1
