"""`covey doctor` for this machine: what the head and `covey up` need here."""

import os
import sys
import tempfile
import time
from pathlib import Path

from covey.bus.binary import find_server
from covey.errors import CoveyError
from covey.files.mounts import file_system_of, is_network
from covey.fleet.findings import DISK_MIN_BYTES, DISK_SHORT_BYTES, Finding
from covey.fleet.ssh import Ssh
from covey.fleet.ssh_command import agent_is_gone
from covey.settings import Settings

#: Writes of a block that are timed.
SYNCS = 100
#: Bytes of a block: a page of the ledger.
BLOCK_BYTES = 4096
#: Nor does it take longer than this, on whatever disk.
SYNCS_MAX_S = 3.0
#: A disk whose slowest of a hundred writes takes longer makes each outcome wait for it.
SYNC_SLOW_S = 0.1


def examine_here(settings: Settings, ssh: Ssh, *, bus_url: str = "") -> list[Finding]:
    """Look at this machine. bus_url: a bus that the user runs ("" = our own)."""
    return [
        Finding("python", "ok", f"{sys.executable} is {'.'.join(map(str, sys.version_info[:3]))}"),
        _client(ssh),
        _agent(ssh),
        _server(settings, bus_url),
        *_state(settings.state_dir),
    ]


def _client(ssh: Ssh) -> Finding:
    try:
        done = ssh.call([*ssh.command, "-V"])
    except (CoveyError, TimeoutError) as error:
        remedy = "install the OpenSSH client: sudo apt install openssh-client"
        return Finding("ssh", "wrong", f"no ssh: {_first(error)}", remedy)
    said = (done.err + done.out).decode(errors="replace").strip().splitlines()
    return Finding("ssh", "ok", f"{' '.join(ssh.command)}: {said[-1] if said else 'no version'}")


def _agent(ssh: Ssh) -> Finding:
    if not ssh.environ.get("SSH_AUTH_SOCK"):
        text = "no ssh-agent: keys with a passphrase are asked for by `covey up` only"
        return Finding("ssh-agent", "note", text, 'run: eval "$(ssh-agent)" && ssh-add')
    if agent_is_gone(ssh.environ):
        text = "SSH_AUTH_SOCK names an ssh-agent that is gone"
        return Finding("ssh-agent", "warning", text, 'run: eval "$(ssh-agent)" && ssh-add')
    try:
        done = ssh.call(["ssh-add", "-l"])
    except (CoveyError, TimeoutError) as error:
        return Finding("ssh-agent", "warning", f"the ssh-agent does not answer: {_first(error)}")
    count = len(done.out.splitlines()) if done.code == 0 else 0
    if count == 0:
        return Finding("ssh-agent", "note", "the ssh-agent holds no key", "run: ssh-add")
    return Finding("ssh-agent", "ok", f"the ssh-agent holds {count} key{'s' if count > 1 else ''}")


def _server(settings: Settings, bus_url: str) -> Finding:
    if bus_url:
        return Finding(
            "bus",
            "warning",
            "your own bus is used, by all with one credential: subject permissions are off, so"
            " whoever has it can read and disturb; tasks and controls are signed all the same",
            "let covey start its own bus: unset COVEY_NATS_URL, and [bus] url in covey.toml",
        )
    try:
        path = find_server(settings.nats_server)
    except CoveyError as error:
        return Finding("bus", "wrong", _first(error))
    return Finding("bus", "ok", f"{path}, as published")


def _state(state_dir: Path) -> list[Finding]:
    parent = next(path for path in (state_dir, *state_dir.parents) if path.is_dir())
    kind = file_system_of(parent)
    found = os.statvfs(parent)
    free = found.f_bavail * found.f_frsize
    where = f"{state_dir} ({kind or 'unknown file system'}, {free / 1e9:.1f} GB free)"
    looked: list[Finding] = []
    if kind and is_network(kind):
        text = f"{where} is on the network: ledger and bus go to a local directory"
        looked.append(Finding("state", "note", text, "set COVEY_HOME to a local directory"))
    elif free < DISK_MIN_BYTES:
        looked.append(Finding("state", "wrong", f"{where}: full", "free some space there"))
    elif free < DISK_SHORT_BYTES:
        looked.append(Finding("state", "warning", f"{where}: little room", "free some space there"))
    else:
        looked.append(Finding("state", "ok", where))
    looked.append(_sync(parent))
    return looked


def _sync(directory: Path) -> Finding:
    try:
        times = sync_times_s(directory)
    except OSError as error:
        text = f"{directory} cannot be written: {error.strerror}"
        return Finding("fsync", "wrong", text, "set COVEY_HOME to a directory of yours")
    text = f"p50 {1000 * _quantile(times, 0.5):.1f} ms, p99 {1000 * _quantile(times, 0.99):.1f} ms"
    if _quantile(times, 0.99) > SYNC_SLOW_S:
        return Finding(
            "fsync", "warning", f"a slow disk: {text}", "set COVEY_HOME to a faster, local one"
        )
    return Finding("fsync", "ok", text)


def sync_times_s(directory: Path) -> list[float]:
    """How long writing a block and fsync takes there, each time.

    Raises:
        OSError: it cannot be written.
    """
    times: list[float] = []
    until = time.monotonic() + SYNCS_MAX_S
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        while len(times) < SYNCS and (began := time.monotonic()) < until:
            file.write(os.urandom(BLOCK_BYTES))
            os.fsync(file.fileno())
            times.append(time.monotonic() - began)
    return times


def _quantile(times: list[float], share: float) -> float:
    return sorted(times)[min(len(times) - 1, int(share * len(times)))]


def _first(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


__all__ = ["examine_here", "sync_times_s"]
