"""The real command line in a state directory of its own, and the table at the end of a run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conformance.table import ROWS, verdict

from covey.testing.waiting import wait_until

#: Longest that one command of a conformance test may take on a loaded machine.
COMMAND_LIMIT_S = 120.0
#: What a command started may need to go away after `down` or the end of a private run.
GONE_WITHIN_S = 30.0


@dataclass(frozen=True)
class Ended:
    """How a command ended; what it wrote, decoded."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """`python -m covey …` in a directory and with a state directory of its own."""

    directory: Path
    env: dict[str, str]

    def __call__(self, *args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
        """Run one command to its end."""
        return self._run("-m", "covey", *args, stdin=stdin, env=env)

    def python(self, *args: str) -> Ended:
        """Run Python on a script of the directory."""
        return self._run(*args)

    def _run(self, *args: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> Ended:
        done = subprocess.run(
            [sys.executable, *args],
            input=stdin,
            capture_output=True,
            cwd=self.directory,
            env=self.env | (env or {}),
            timeout=COMMAND_LIMIT_S,
            check=False,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def start(self, *args: str) -> subprocess.Popen[bytes]:
        """Start one command and leave it running; its output goes to files `out` and `err`."""
        with (self.directory / "out").open("wb") as out, (self.directory / "err").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "covey", *args],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=self.directory,
                env=self.env,
            )

    def processes(self) -> list[int]:
        """Processes that carry our state directory in their environment: all that covey started."""
        mark = b"COVEY_HOME=" + os.fsencode(self.env["COVEY_HOME"]) + b"\0"
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if mark in _read(path) and _is_alive(path.parent)
        ]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _is_alive(directory: Path) -> bool:
    return _read(directory / "stat").rpartition(b")")[2].split()[:1] not in ([], [b"Z"])


@pytest.fixture
def covey(tmp_path: Path) -> Iterator[CommandLine]:
    """The command line; afterwards the cluster is taken down, and nothing may be left of it."""
    directory = tmp_path / "here"
    directory.mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COVEY_", "PARALLEL_"))}
    command = CommandLine(directory, env | {"COVEY_HOME": str(tmp_path / "state")})
    yield command
    command("down")
    wait_until(
        lambda: not command.processes(),
        describe=lambda: f"processes left behind: {command.processes()}",
        timeout_s=GONE_WITHIN_S,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--conformance-table`: print the 40 rows at the end."""
    parser.addoption("--conformance-table", action="store_true", help="print the 40 rows")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each report carry the rows of its test."""
    for item in items:
        for mark in item.iter_markers("row"):
            item.user_properties.extend(("row", number) for number in mark.args)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The 40 rows: pass, partly, open, or FAIL."""
    if not config.getoption("--conformance-table"):
        return
    results: dict[int, set[str]] = {}
    for kind in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.stats.get(kind, []):
            for name, value in getattr(report, "user_properties", []):
                if name == "row":
                    results.setdefault(value, set()).add(kind)
    terminalreporter.section("conformance")
    for row in ROWS:
        seen = results.get(row.number, set())
        bad = seen & {"failed", "error"}
        now = "FAIL" if bad else verdict(row, "passed" in seen)
        left = f"   (open: {row.missing})" if now == "partly" else ""
        terminalreporter.write_line(f"{row.number:3}  {now:7} {row.capability}{left}")
