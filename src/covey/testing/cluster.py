"""A covey of its own for a test: the real command line, with everything it makes in one directory.

    with Lab(tmp_path) as lab, lab.cluster(machines=2) as cluster:
        job = lab.map("-j2", "echo {}", ":::", "a", "b")
        faults.kill(cluster.agent("local1"))
        assert job.wait() == 0

At the end nothing may be left: no process, no runtime directory, no key, no unfinished run that the
test does not expect.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from covey.agent import proctree
from covey.scheduler.rows import JobRow, OutcomeRow
from covey.scheduler.view import LedgerView
from covey.testing.ending import end
from covey.testing.faults import ClusterParts, PrivateParts, is_alive
from covey.testing.waiting import COMMAND_MAX_S, wait_until

#: After the end of everything, what dies of itself (lifelines) has so long.
LEFT_MAX_S = 60.0


class Call:
    """A command line under way. Its output goes to files, so that it never waits for us."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process = process
        self._out = out
        self._err = err

    @property
    def pid(self) -> int:
        """Process id of the client."""
        return self.process.pid

    @property
    def parts(self) -> PrivateParts:
        """The processes of its private run."""
        return PrivateParts(self.pid)

    @property
    def out(self) -> bytes:
        """What it has written so far."""
        return self._out.read_bytes()

    @property
    def err(self) -> str:
        """What it has said so far."""
        return self._err.read_text(errors="replace")

    def say(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def hang_up(self) -> None:
        """Close its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """SIGKILL, and wait for its end."""
        end(self.process)

    def wait(self, timeout_s: float = COMMAND_MAX_S) -> int:
        """Its exit code.

        Raises:
            AssertionError: it did not end in time; with what it said.
        """
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"still running after {timeout_s} s: {self.process.args!r} said: {self.err}"
            ) from None


class Lab:
    """Runs `covey` with a home and a runtime directory of its own below `directory`."""

    def __init__(self, directory: Path, env: Mapping[str, str] | None = None) -> None:
        self.directory = directory
        self.home = directory / "home"
        self.state_dir = self.home / "default"
        self._calls: list[Call] = []
        self.env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("COVEY_", "XDG_", "NO_COLOR"))
        }
        runtime = directory / "run"
        runtime.mkdir(mode=0o700, exist_ok=True)
        self.env |= {"COVEY_HOME": str(self.home), "XDG_RUNTIME_DIR": str(runtime), **(env or {})}

    # ------------------------------------------------------------ commands

    def __call__(self, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            _command(words),
            input=stdin.decode(),
            capture_output=True,
            text=True,
            env=self.env,
            cwd=self.directory,
            timeout=COMMAND_MAX_S,
            check=False,
        )

    def json(self, *words: str) -> Any:
        """What a command answers with --json.

        Raises:
            AssertionError: it failed.
        """
        done = self(*words, "--json")
        assert done.returncode == 0, f"covey {' '.join(words)}: {done.stderr}"
        return json.loads(done.stdout)

    def states(self) -> dict[str, str]:
        """What `covey status` says of each machine; it ends with 1 when one is lost."""
        done = self("status", "--json")
        assert done.returncode in (0, 1), done.stderr
        return {
            machine["name"]: machine["state"] for machine in json.loads(done.stdout)["machines"]
        }

    def start(self, *words: str, stdin: bytes | int = subprocess.DEVNULL) -> Call:
        """Begin a command; `stdin`: bytes, or subprocess.PIPE for `Call.say`."""
        number = len(self._calls) + 1
        out, err = self.directory / f"call-{number}.out", self.directory / f"call-{number}.err"
        given = self.directory / f"call-{number}.in"
        if isinstance(stdin, bytes):
            given.write_bytes(stdin)
        source = given.open("rb") if isinstance(stdin, bytes) else None
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                _command(words),
                stdin=source if source is not None else int(stdin),  # pyright: ignore[reportArgumentType]
                stdout=out_file,
                stderr=err_file,
                env=self.env,
                cwd=self.directory,
                # A group of its own, as a shell gives it.
                process_group=0,
            )
        if source is not None:
            source.close()
        call = Call(process, out, err)
        self._calls.append(call)
        return call

    def map(self, *words: str, stdin: bytes | int = subprocess.DEVNULL) -> Call:
        """Begin a `covey map`."""
        return self.start("map", *words, stdin=stdin)

    def command(self, *words: str) -> list[str]:
        """The command line of `covey` with these words, for a subprocess of the test's own."""
        return _command(words)

    # ------------------------------------------------------------ what is recorded

    @property
    def view(self) -> LedgerView:
        """All jobs, read where they lie."""
        return LedgerView(self.state_dir)

    def job(self, job: int) -> JobRow:
        """One job."""
        return self.view.job(job)

    def outcomes(self, job: int) -> list[OutcomeRow]:
        """All recorded outcomes of a job, in the order of recording."""
        view, rows = self.view, list[OutcomeRow]()
        while page := view.outcomes(job, rows[-1].seq if rows else 0):
            rows += page
        return rows

    def await_done(self, job: int, count: int, timeout_s: float = COMMAND_MAX_S) -> None:
        """Wait until so many tasks of the job have outcomes."""
        wait_until(
            lambda: self._done(job) >= count,
            describe=lambda: f"{self._done(job)} of {count} done; {[c.err for c in self._calls]}",
            timeout_s=timeout_s,
        )

    def _done(self, job: int) -> int:
        rows = {row.job: row for row in self.view.jobs()}
        return rows[job].done if job in rows else 0

    # ------------------------------------------------------------ clusters

    @contextmanager
    def cluster(
        self, machines: int = 2, slots: int = 1, groups: Iterable[str] = ()
    ) -> Generator[ClusterParts]:
        """A head and virtual machines, up inside and down at the end, whatever happened."""
        self.up(machines, slots, groups)
        try:
            yield ClusterParts(self.state_dir)
        finally:
            down = self("down")
            assert down.returncode == 0, down.stderr

    def up(self, machines: int = 2, slots: int = 1, groups: Iterable[str] = ()) -> None:
        """`covey up --local`; groups as `--group` takes them."""
        words = [word for group in groups for word in ("--group", group)]
        done = self("up", "--local", str(machines), "--slots", str(slots), *words)
        assert done.returncode == 0, done.stderr

    # ------------------------------------------------------------ the end

    def __enter__(self) -> "Lab":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for call in self._calls:
            if call.process.stdin is not None:
                call.process.stdin.close()
            if call.process.poll() is None:
                call.kill()
        try:
            if kind is None:
                self.nothing_is_left()
        finally:
            proctree.signal_all(self.processes(), signal.SIGKILL)

    def nothing_is_left(self) -> None:
        """Neither a process nor a runtime directory nor a key; waits for what dies of itself.

        Raises:
            AssertionError: something is left; what it is.
        """
        wait_until(
            lambda: not self.left(), describe=lambda: {"left": self.left()}, timeout_s=LEFT_MAX_S
        )

    def left(self) -> list[str]:
        """What is left now, for people."""
        found = [f"process {pid}: {_words_of(pid)}" for pid in self.processes()]
        # Files there are notes for the next start, directories belong to somebody.
        runtimes = [path for path in _listed(self.directory / "run" / "covey") if path.is_dir()]
        found += [f"runtime {path}" for path in runtimes]
        if self.state_dir.is_dir():
            names = ("keys", "bus", "head.json", "cluster.json")
            found += [f"state {name}" for name in names if (self.state_dir / name).exists()]
            found += [f"unfinished {path}" for path in _listed(self.state_dir / "runs")]
        return found

    def processes(self) -> list[int]:
        """Living processes that work in our directory, or were given it in their environment."""
        mark = os.fsencode(str(self.directory))
        return [pid for pid in _pids() if pid != os.getpid() and _is_marked(pid, mark)]


def _command(words: Iterable[str]) -> list[str]:
    return [sys.executable, "-m", "covey", *words]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        if mark in os.fsencode(os.readlink(f"/proc/{pid}/cwd")):
            return True
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _words_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()[:200]
    except (OSError, ValueError):
        return "?"


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except OSError:
        return []


__all__ = ["Call", "Lab", "is_alive"]
