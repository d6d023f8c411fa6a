"""`true` over a list of items, by the command lines of covey and its peers: seconds."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SLOTS = 2
_BIN = Path(sys.executable).parent


class Absent(RuntimeError):
    """The peer is not installed here."""


def _program(name: str) -> str:
    found = shutil.which(name, path=f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise Absent(f"{name} is not installed")
    return found


def _timed(argv: list[str], items: Path, env: dict[str, str] | None = None) -> float:
    with items.open("rb") as stream:
        begun = time.perf_counter()
        subprocess.run(
            argv,
            stdin=stream,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=env,
            check=True,
        )
        return time.perf_counter() - begun


def _items(directory: Path, n: int) -> Path:
    path = directory / "items"
    path.write_text("".join(f"{i}\n" for i in range(n)))
    return path


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory of our own on the disk where temporary files live."""
    with tempfile.TemporaryDirectory(prefix="covey-bench-") as name:
        yield Path(name)


def covey(n: int) -> float:
    """covey map, with its ledger (every outcome durable)."""
    with scratch() as directory:
        env = os.environ | {"COVEY_HOME": str(directory / "state")}
        argv = [sys.executable, "-m", "covey", "map", "--here", f"-j{SLOTS}", "true"]
        return _timed(argv, _items(directory, n), env)


def xargs(n: int) -> float:
    """xargs -P: no record of anything."""
    with scratch() as directory:
        return _timed([_program("xargs"), "-P", str(SLOTS), "-n1", "true"], _items(directory, n))


def parallel(n: int) -> float:
    """GNU parallel with a joblog."""
    with scratch() as directory:
        argv = [
            _program("parallel"),
            "--will-cite",
            f"-j{SLOTS}",
            "--joblog",
            str(directory / "log"),
        ]
        return _timed([*argv, "true"], _items(directory, n))


def hyperqueue(n: int) -> float:
    """HyperQueue by its Python package, which brings no `hq`: one job of n programs."""
    try:
        from hyperqueue import Job, LocalCluster
        from hyperqueue.cluster import WorkerConfig
    except ImportError as error:
        raise Absent(str(error)) from error
    with scratch() as directory:
        os.chdir(directory)
        with LocalCluster(str(directory / "hq"), WorkerConfig(cores=SLOTS)) as cluster:
            client = cluster.client()
            took = 0.0
            for count in (SLOTS * 2, n):
                job = Job(default_workdir=directory)
                for _ in range(count):
                    job.program(["true"], stdout=None, stderr=None)
                begun = time.perf_counter()
                client.wait_for_jobs([client.submit(job)])
                took = time.perf_counter() - begun
            return took


COMMANDS = {"covey": covey, "xargs -P": xargs, "GNU parallel": parallel, "HyperQueue": hyperqueue}
