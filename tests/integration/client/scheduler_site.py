"""A cluster with shared schedulers, and calls that write down when they start."""

import os
import signal
import time
from collections.abc import Generator
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path

import pytest

import covey
from covey.agent import proctree
from covey.agent.proctree import Process
from covey.testing import faults
from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until

#: Longest that a result may take, also on a starved machine.
RESULT_MAX_S = 120.0
#: A gate that was not opened by then never is: its test has failed, and waits for the calls.
GATE_MAX_S = 150.0


class Site:
    """Schedulers by name; started again when a test killed them."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.calls: dict[str, Call] = {}

    def scheduler(self, name: str) -> Call:
        """One that runs."""
        call = self.calls.get(name)
        if call is None or call.process.poll() is not None:
            call = self.calls[name] = self.lab.start("scheduler", "--name", name)
            wait_until(lambda: b"ready" in call.out, describe=lambda: call.err)
        return call

    def process(self, name: str) -> Process:
        """Its process."""
        found = proctree.identify(self.scheduler(name).pid)
        assert found is not None
        return found

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for its end."""
        self.scheduler(name).kill()


@contextmanager
def a_site(directory: Path, machines: int = 2, slots: int = 2) -> Generator[Site]:
    """A cluster that is up, and down at the end with nothing left."""
    with Lab(directory) as lab, lab.cluster(machines=machines, slots=slots):
        yield Site(lab)


@contextmanager
def seen_by_us(site: Site) -> Generator[Site]:
    """This process, too, works with that cluster."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COVEY_HOME", "XDG_RUNTIME_DIR"):
            patch.setenv(name, site.lab.env[name])
        yield site


class Gate:
    """Calls that wait until it is opened, and write a line at each start."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "open"
        self.starts_path = directory / "starts"
        self.starts_path.touch()

    def submit(self, executor: covey.Executor, number: int) -> "futures.Future[int]":
        """A call that answers `number` when the gate is open."""
        return executor.submit(wait_at, str(self.path), str(self.starts_path), number)

    def open(self) -> None:
        """Let them end."""
        self.path.touch()

    def starts(self, number: int) -> list[int]:
        """Processes in which the call was started."""
        lines = self.starts_path.read_text().splitlines()
        return [int(pid) for n, pid in map(str.split, lines) if int(n) == number]

    def await_starts(self, *numbers: int, count: int = 1) -> None:
        """Wait until each of these calls was started so many times."""
        wait_until(
            lambda: all(len(self.starts(n)) >= count for n in numbers),
            describe=lambda: {n: self.starts(n) for n in numbers},
            timeout_s=RESULT_MAX_S,
        )


def wait_at(gate: str, starts: str, number: int) -> int:
    """What the calls do."""
    fd = os.open(starts, os.O_WRONLY | os.O_APPEND)
    os.write(fd, f"{number} {os.getpid()}\n".encode())
    os.close(fd)
    until = time.monotonic() + GATE_MAX_S
    while not os.path.exists(gate) and time.monotonic() < until:
        time.sleep(0.01)
    return number


def await_gone(*pids: int) -> None:
    """Wait until these processes have ended."""
    wait_until(
        lambda: not any(faults.is_alive(p) for p in map(proctree.identify, pids) if p is not None),
        describe=lambda: f"{pids} still run",
        timeout_s=RESULT_MAX_S,
    )


def stop(process: Process) -> None:
    """SIGSTOP."""
    os.kill(process.pid, signal.SIGSTOP)


def go_on(process: Process) -> None:
    """SIGCONT."""
    os.kill(process.pid, signal.SIGCONT)
