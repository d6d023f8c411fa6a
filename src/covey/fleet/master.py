"""The master connection of a machine: its files, and the options of the ssh that are about it."""

import contextlib
import fcntl
import hashlib
import os
import socket
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from covey.agent import proctree
from covey.agent.proctree import Process
from covey.agent.runtime import base_dir
from covey.errors import ConnectFailed
from covey.fleet.host import Host

#: ssh makes a master's socket under a name that is 17 bytes longer, and 107 is what systems take.
SOCKET_PATH_MAX_BYTES = 90
#: Of which so many are behind the base directory: `/0123456789abcdef/s/0123456789ab`.
CONTROL_NAME_MAX_BYTES = 32
#: ssh itself gives up connecting and greeting after this time.
CONNECT_MAX_S = 10
#: A connection of which nothing comes back for 3 times this long is ended (reliability.md §3.4).
ALIVE_INTERVAL_S = 5
#: How often the lock of a master is tried again while another process opens or closes it.
_LOCK_LOOK_S = 0.05

#: Options of everything that rides in a master.
_INNER = {
    "ControlMaster": "no",
    # Where the master is gone, ssh would connect by itself: by this it fails instead.
    "ProxyCommand": "false",
    "BatchMode": "yes",
    "LogLevel": "ERROR",
}


@dataclass(frozen=True, slots=True)
class MasterFiles:
    """What belongs to the master of one machine, in the control directory."""

    socket: Path
    #: What it wrote to stderr.
    log: Path
    #: Held while it is opened or closed.
    lock: Path
    #: Its process: `pid started`. Whom to end when it does not answer any more.
    record: Path

    @classmethod
    def of(cls, control_dir: Path, host: Host) -> "MasterFiles":
        """The files for a machine, as it is reached: another address is another master.

        Raises:
            ConnectFailed: the directory's path is too long for sockets.
        """
        how = "\0".join((host.name, host.user, host.address, str(host.port)))
        base = hashlib.sha256(how.encode()).hexdigest()[:12]
        path = control_dir / base
        if len(os.fsencode(path)) > SOCKET_PATH_MAX_BYTES:
            raise ConnectFailed(
                f"the path of the control socket {path} is longer than"
                f" {SOCKET_PATH_MAX_BYTES} bytes: set XDG_RUNTIME_DIR or TMPDIR to a short one",
                machine=host.name,
                kind="bad-config",
                reason="the path of its control socket is too long",
                remedy="set XDG_RUNTIME_DIR or TMPDIR to a shorter directory",
            )
        log, lock, record = (path.with_suffix(suffix) for suffix in (".log", ".lock", ".pid"))
        return cls(path, log, lock, record)

    def is_listening(self) -> bool:
        """Whether somebody takes connections at the socket: then it is logged in."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(self.socket))
            except BlockingIOError:
                # Its queue is full: it is there.
                return True
            except OSError:
                return False
        return True

    def said(self) -> str:
        """What the master has written so far."""
        try:
            return self.log.read_text(errors="replace")
        except OSError:
            return ""

    def write_process(self, pid: int) -> None:
        """Say which process the master is."""
        if process := proctree.identify(pid):
            self.record.write_text(f"{process.pid} {process.started}\n")

    def process(self) -> Process | None:
        """The master that was last opened here, if it still runs."""
        try:
            pid, started = map(int, self.record.read_text().split())
        except (OSError, ValueError):
            return None
        process = Process(pid, started)
        return process if proctree.identify(pid) == process else None

    def forget(self) -> None:
        """Remove what a master left."""
        for path in (self.socket, self.log, self.record):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self, until: float) -> Generator[bool]:
        """One opens or closes at a time; False when another still does at `until` (monotonic)."""
        with self.lock.open("w") as file:
            while not (is_ours := _try_lock(file.fileno())) and time.monotonic() < until:
                time.sleep(_LOCK_LOOK_S)
            yield is_ours


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def control_base() -> Path:
    """Where control directories are made: with the runtime directories, or where a path is short.

    Its last resort may be too long as well; `MasterFiles.of` says so.
    """
    room = SOCKET_PATH_MAX_BYTES - CONTROL_NAME_MAX_BYTES
    base = base_dir()
    return base if len(os.fsencode(base)) <= room else base_dir({})


def login_options(
    files: MasterFiles,
    host: Host,
    config: Mapping[str, str],
    *,
    asking: Mapping[str, str] | None,
    accept_new: bool,
) -> list[str]:
    """What the master is started with, machine included.

    config: what `ssh -G` says. asking: options for an ssh that may ask; None: it may not.
    """
    options = {
        "ControlMaster": "yes",
        "ControlPersist": "no",
        "ClearAllForwardings": "yes",
        "ForwardAgent": "no",
        "ForwardX11": "no",
        "PermitLocalCommand": "no",
        "RemoteCommand": "none",
        "RequestTTY": "no",
        "ExitOnForwardFailure": "yes",
        "ServerAliveInterval": str(ALIVE_INTERVAL_S),
        "ServerAliveCountMax": "3",
        "ConnectTimeout": str(CONNECT_MAX_S),
        # A banner of the machine must not read like a failure.
        "LogLevel": "ERROR",
    }
    options |= {"BatchMode": "yes"} if asking is None else asking
    if accept_new:
        options["StrictHostKeyChecking"] = "accept-new"
    elif config.get("stricthostkeychecking", "ask") in ("false", "no", "off"):
        # Whatever the configuration says: a host key is never skipped.
        options["StrictHostKeyChecking"] = "ask"
    return ["-N", "-T", *_master(files), *_pairs(options), *destination(host)]


def inner_options(files: MasterFiles) -> list[str]:
    """What everything that rides in the master is started with."""
    return ["-F", "/dev/null", *_master(files), *_pairs(_INNER)]


def copy_options(files: MasterFiles, host: Host) -> list[str]:
    """What ssh-copy-id is started with, so that its ssh rides in the master."""
    options = {"ControlPath": str(files.socket).replace("%", "%%"), **_INNER}
    return ["-F", "/dev/null", *_pairs(options), "--", host.address]


def destination(host: Host) -> list[str]:
    """User, port, and the address behind `--`."""
    user = ["-l", host.user] if host.user else []
    port = ["-p", str(host.port)] if host.port else []
    return [*user, *port, "--", host.address]


def check_name(host: Host) -> None:
    """Refuse what could be read as an option, or as more than one word.

    Raises:
        ConnectFailed: it is such a name.
    """
    for what in (host.address, host.user):
        if what.startswith("-") or not what.isprintable() or any(c.isspace() for c in what):
            raise ConnectFailed(
                f"{host.name}: {what!r} is no name that ssh can be called with",
                machine=host.name,
                kind="bad-name",
                reason=f"{what!r} is no name that ssh can be called with",
                remedy=f"mend it in {host.where or 'the list of machines'}",
            )


def _master(files: MasterFiles) -> list[str]:
    # ssh expands %-signs in it.
    return ["-S", str(files.socket).replace("%", "%%")]


def _pairs(options: Mapping[str, str]) -> list[str]:
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
