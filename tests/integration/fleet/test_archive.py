"""The archive itself: on every Python, of the same bytes, kept for a rollback."""

import contextlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tests.integration.fleet.reach import python_of

from covey.fleet import archive as building
from covey.fleet.archive import Archive
from covey.testing.waiting import COMMAND_MAX_S

#: All that a machine may come to import: an agent, its children, and programs of users there.
_AGENT = (
    "import covey.agent.remote, covey.agent.root, covey.agent.life, covey.agent.child;"
    "import covey.agent.runner, covey.agent.calls;"
)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_the_archives_run_on_every_python_that_covey_supports(
    archives: Path, archive: Archive, tmp_path: Path, version: str
) -> None:
    python = python_of(version)
    env = {"HOME": str(tmp_path), "PATH": str(tmp_path), "COVEY_HOME": str(tmp_path)}
    whole = building.current(archives, "head")
    for sent, argv, said in (
        (whole, ["--version"], "covey"),
        (whole, ["--on-machine", "look", "c", "a"], '"absent"'),
        (whole, ["map", "echo {}", ":::", "a"], "no nats-server"),
        (archive, ["--on-machine", "look", "c", "a"], '"absent"'),
        (archive, ["status"], "the command line is not in it"),
    ):
        done = subprocess.run(
            [python, "-P", "-s", str(sent.path), *argv],
            capture_output=True,
            text=True,
            env=env,
            cwd=tmp_path,
            check=False,
            timeout=COMMAND_MAX_S,
        )
        assert said in done.stdout + done.stderr, (argv, done)
        assert "Traceback" not in done.stderr


def _said_from(archive: Archive, program: str, **env: str) -> str:
    """What a program says that has the archive alone, and nothing that is installed."""
    start = f"import sys; sys.path.insert(0, {str(archive.path)!r});"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + program],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_what_an_agent_imports_is_compiled_in_its_archive(archive: Archive) -> None:
    show = "print(*(m.__file__ for m in list(sys.modules.values()) if hasattr(m, '__file__')))"
    inside = f"{archive.path}/"
    loaded = [
        name.removeprefix(inside)
        for name in _said_from(archive, _AGENT + show).split()
        if name.startswith(inside)
    ]
    assert any(name.startswith("covey/agent/life.py") for name in loaded)
    names = set(zipfile.ZipFile(archive.path).namelist())
    # Found, and not executed: see `bus.deferring`.
    needed = {name for name in loaded if not name.startswith("nats/js/")}
    assert [name for name in needed if not name.endswith(".pyc") and f"{name}c" not in names] == []


def test_a_program_on_a_machine_may_import_what_users_import(archive: Archive) -> None:
    program = "import covey, covey.aio; print(covey.Executor.__name__, covey.Cluster.__name__)"
    assert _said_from(archive, program) == "Executor Cluster"


def test_a_head_from_an_archive_gives_machines_the_same_archive(
    archives: Path, archive: Archive, tmp_path: Path
) -> None:
    program = (
        "from pathlib import Path; from covey.fleet import archive;"
        f"print(archive.current(Path({str(tmp_path)!r})).digest)"
    )
    assert _said_from(building.current(archives, "head"), program) == archive.digest


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
            timeout=COMMAND_MAX_S,
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
