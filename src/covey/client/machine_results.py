"""What `covey.Cluster` answers: one frozen value for each machine."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from covey.client.directories import Made
from covey.client.errands import End, ErrandResult
from covey.errors import CommandFailed, ConnectFailed, MachineError

#: Bytes of stderr that an error of a machine carries.
TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class MachineUp:
    """A machine that `Cluster.up` brought up, or found up."""

    name: str
    #: `started`, `running` (it was), or `replaced` (an agent of another version was).
    state: str
    platform: str
    python: str
    slots: int
    elapsed_s: float

    @staticmethod
    def found(status: "MachineStatus") -> "MachineUp":
        """Of a machine that was up."""
        platform = str(status.facts.get("platform") or "")
        return MachineUp(status.name, "running", platform, status.python, status.slots, 0.0)


@dataclass(frozen=True, slots=True)
class MachineStatus:
    """A machine as `Cluster.status` sees it."""

    name: str
    #: `joining`, `ready`, `draining`, `unreachable`, `lost` or `left`.
    state: str
    slots: int
    busy: int
    load1: float | None
    #: Bytes.
    mem_free: int | None
    disk_free: int | None
    python: str
    #: Of covey, there.
    version: str
    latency_s: float | None
    #: Why it is not ready, and what to do.
    why: str
    #: All that `covey status --json` says of it.
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def is_ready(self) -> bool:
        """Whether it takes work."""
        return self.state == "ready"


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a command or script on one machine."""

    machine: str
    #: `ok`, `failed`, `timed out`, `unreachable` or `cancelled`.
    state: str
    #: None = it did not end by itself.
    exit: int | None
    #: The signal that ended it; 0 = none.
    signal: int
    stdout: bytes
    stderr: bytes
    elapsed_s: float | None
    #: Why, where the exit status does not say it.
    reason: str = ""
    #: What it wrote to COVEY_OUTPUT: name -> bytes.
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)

    @property
    def is_ok(self) -> bool:
        """Whether it succeeded."""
        return self.state == End.OK

    @property
    def text(self) -> str:
        """Standard output, decoded."""
        return self.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What came of a command on one machine."""

    machine: str
    #: Of the command; 124 time limit, 126 and 127 as a shell says, 128+n killed by signal n.
    exit: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Standard output, decoded."""
        return self.stdout.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class MadeDirectory:
    """What became of a directory on one machine."""

    path: str
    #: `created`, `exists` or `failed`.
    state: str
    error: str = ""


def machine_status(row: Mapping[str, Any]) -> MachineStatus:
    """Out of a row of the head's answer to `status`."""
    return MachineStatus(
        name=str(row["name"]),
        state=str(row["state"]),
        slots=int(row.get("slots") or 0),
        busy=int(row.get("busy") or 0),
        load1=row.get("load1"),
        mem_free=row.get("mem_free"),
        disk_free=row.get("disk_free"),
        python=str(row.get("python") or ""),
        version=str(row.get("version") or ""),
        latency_s=row.get("latency_s"),
        why=str(row.get("why") or ""),
        facts=MappingProxyType(dict(row)),
    )


def run_result(result: ErrandResult) -> RunResult:
    """As Python sees it.

    Raises:
        DecodeError: the machine sent files that make no sense.
    """
    files = {os.fsdecode(file.name): file.data for file in result.gathered().files}
    return RunResult(
        machine=result.machine,
        state=str(result.end),
        exit=result.exit,
        signal=result.signal,
        stdout=result.stdout,
        stderr=result.stderr,
        elapsed_s=result.elapsed_s,
        reason=result.reason,
        files=MappingProxyType(files),
    )


def machine_error(result: RunResult, command: str) -> MachineError:
    """The error that a result is which is not ok."""
    name = result.machine
    if result.state == End.UNREACHABLE:
        return ConnectFailed(f"{name}: {result.reason}", machine=name, kind="lost", remedy="")
    how = f"exit {result.exit}" if result.exit is not None else result.state
    if result.signal:
        how = f"killed by signal {result.signal}"
    tail = result.stderr[-TAIL_BYTES:].decode(errors="replace").rstrip()
    last = f": {tail.splitlines()[-1]}" if tail else ""
    return CommandFailed(
        f"{name}: {result.reason or how}{last}",
        machine=name,
        command=command,
        code=result.exit,
        tail=tail,
    )


def made_directory(one: Made) -> MadeDirectory:
    """As Python sees it."""
    return MadeDirectory(os.fsdecode(one.path), one.state, one.error)
