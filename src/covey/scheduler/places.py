"""Where the state of a cluster may be, and whose it is.

A state directory belongs to one host: `owner` in it says which. SQLite, JetStream, locks and
sockets are never opened on a network file system: there the directory holds only `owner` and
`place`, a pointer to a private directory on the local disk of that host.
"""

import hashlib
import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from covey.errors import LedgerError, StateInUse
from covey.files.mounts import file_system_of, is_network
from covey.files.private import check_private, make_private
from covey.scheduler.opening import explained
from covey.settings import Settings

#: Where local state of a host goes when the home is not local; survives a restart, unlike /tmp.
LOCAL_DISK = Path("/var/tmp")

_OWNER = "owner"
_POINTER = "place"
_HOME = "home"


@dataclass(frozen=True, slots=True)
class Host:
    """Which machine this is. Names change, boots change: two are the same if any mark is equal."""

    name: str
    boot_id: str = ""
    machine_id: str = ""

    def is_same(self, other: "Host") -> bool:
        """Whether the marks of two hosts can belong to one."""
        pairs = (
            (self.boot_id, other.boot_id),
            (self.machine_id, other.machine_id),
            (self.name, other.name),
        )
        return any(mine and mine == theirs for mine, theirs in pairs)


@dataclass(frozen=True, slots=True)
class Place:
    """Where state really is. `note` is one sentence for the user, where that is a surprise."""

    state_dir: Path
    note: str = ""


def this_host() -> Host:
    """The marks of this machine."""

    def read(path: str) -> str:
        with suppress(OSError):
            return Path(path).read_text().strip()
        return ""

    return Host(
        socket.gethostname(),
        read("/proc/sys/kernel/random/boot_id"),
        read("/etc/machine-id") or read("/var/lib/dbus/machine-id"),
    )


def settle(state_dir: Path, *, host: Host | None = None, mounts: str | None = None) -> Place:
    """Make sure that state may be written, and say where. For commands that write.

    host, mounts (the text of /proc/self/mountinfo): of this machine unless given.

    Raises:
        StateInUse: the directory belongs to another host, which is named.
        StartFailed: the place on the local disk is not safely ours.
        LedgerError: the directory cannot be written (DiskFull: has no room).
    """
    host = host or this_host()
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        _claim(state_dir, host)
        kind = file_system_of(state_dir, mounts)
        if not is_network(kind):
            return Place(state_dir)
        if is_network(file_system_of(LOCAL_DISK, mounts)):
            return Place(state_dir, _warning(state_dir, kind))
        local = _settle_locally(state_dir)
    except OSError as error:
        raise explained(error, state_dir / _OWNER) from error
    return Place(local, _note(state_dir, kind, local))


def find(state_dir: Path, *, host: Host | None = None) -> Place:
    """Where state is, if there is any. Makes nothing; for commands that only look.

    Raises:
        StateInUse: it is on the local disk of another host, which is named.
        StartFailed: the place on the local disk is not safely ours.
    """
    local = _read_pointer(state_dir)
    if local is None:
        return Place(state_dir)
    owner = _read_owner(state_dir)
    if owner is not None and not owner.is_same(host or this_host()):
        raise _in_use(state_dir, owner)
    for directory in (local.parent, local):
        if os.path.lexists(directory):
            check_private(directory)
    return Place(local)


def located(settings: Settings) -> Settings:
    """`settings` with the directory where state is; makes nothing.

    Raises:
        StateInUse, StartFailed: as `find`.
    """
    place = find(settings.home / settings.cluster)
    return replace(settings, local_state=place.state_dir)


def settled(settings: Settings) -> tuple[Settings, str]:
    """`settings` with a directory that may be written, and a note for the user ("" = none).

    Raises:
        StateInUse, StartFailed, LedgerError: as `settle`.
    """
    place = settle(settings.home / settings.cluster)
    return replace(settings, local_state=place.state_dir), place.note


def _claim(state_dir: Path, host: Host) -> None:
    owner = _read_owner(state_dir)
    if owner is not None and not owner.is_same(host):
        raise _in_use(state_dir, owner)
    if owner != host:
        _write(state_dir / _OWNER, f"{host.name}\n{host.boot_id}\n{host.machine_id}\n")


def _read_owner(state_dir: Path) -> Host | None:
    try:
        lines = (state_dir / _OWNER).read_text(errors="replace").splitlines()
    except OSError:
        return None
    marks = [*lines, "", "", ""][:3]
    return Host(*marks) if any(marks) else None


def _in_use(state_dir: Path, owner: Host) -> StateInUse:
    return StateInUse(
        f"{state_dir} belongs to {owner.name}: work there, or use another --cluster or COVEY_HOME"
        f" here; if {owner.name} is gone for good, remove {state_dir / _OWNER}",
        path=str(state_dir),
        owner=owner.name,
    )


def _settle_locally(state_dir: Path) -> Path:
    for local in _local_dirs(state_dir):
        make_private(local.parent)
        make_private(local)
        home = _line_of(local / _HOME)
        if home in ("", str(state_dir)):
            if not home:
                _write(local / _HOME, f"{state_dir}\n")
            if _line_of(state_dir / _POINTER) != str(local):
                _write(state_dir / _POINTER, f"{local}\n")
            return local
    raise LedgerError(f"{LOCAL_DISK} holds another cluster {state_dir.name}: use another --cluster")


def _local_dirs(state_dir: Path) -> list[Path]:
    """Where local state goes; the second where another home has a cluster of the same name."""
    base = LOCAL_DISK / f"covey-{os.geteuid()}"
    mark = hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:8]
    return [base / state_dir.name, base / f"{state_dir.name}-{mark}"]


def _warning(state_dir: Path, kind: str) -> str:
    return (
        f"{state_dir} and {LOCAL_DISK} are both on a network file system ({kind}): set COVEY_HOME"
        " to a local disk, if there is one"
    )


def _note(state_dir: Path, kind: str, local: Path) -> str:
    return f"{state_dir} is on a network file system ({kind}): ledger and keys are in {local}"


def _read_pointer(state_dir: Path) -> Path | None:
    """Where the pointer points; only a directory of our own making is believed."""
    text = _line_of(state_dir / _POINTER)
    if not text:
        return None
    if text not in map(str, _local_dirs(state_dir)):
        raise LedgerError(
            f"{state_dir / _POINTER} points to {text}, which is no place of covey's: remove it",
            path=str(state_dir / _POINTER),
        )
    return Path(text)


def _line_of(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    made = path.with_name(f".{path.name}-{os.getpid()}-{secrets.token_hex(4)}")
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, os.fsencode(text))
        os.fsync(fd)
    finally:
        os.close(fd)
    made.rename(path)
