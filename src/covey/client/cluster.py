"""The files of a cluster that stays up: who is in it, keys, where its bus and its head are.

<state>/cluster.json       machines: name, slots, directory
<state>/archives.json      archives that machines were given
<state>/head.json          the head: pid, start time, term, incarnation
<state>/schedulers/        NAME.json: the same of a shared scheduler; NAME.lock is held as it lives
<state>/keys/tls/          certificates of our bus (0600): see `bus.authority`
<state>/keys/submit        whoever can read it may submit (0600)
<state>/keys/agents/NAME   HMAC key of an agent (0600)
<state>/keys/bus/NAME      password of a bus user (0600)
<state>/keys/bus/bus.url   the user's own bus, if one is used (0600)
<state>/bus/bus.json       the bus server
<state>/machines/NAME/     of a virtual machine: its directory, agent.json: its process
                           of one over ssh: remote.json: what was started there, tunnel.json
<state>/traces.json        hosts that have something of ours, also after `down`
<state>/control            where the control sockets of ssh are
<state>/command            runs covey on this computer, for whoever comes by ssh
<state>/reader             the same after `down`: for who reads the ledger
"""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from covey._version import VERSION
from covey.bus.authority import Authority
from covey.bus.config import ACCOUNT_USER
from covey.bus.record import read_record, start_time, write_private
from covey.client.address import SPACE_NAME_MAX, BusAddress
from covey.client.members import Machine as Machine
from covey.client.members import ProcessRecord as ProcessRecord
from covey.client.members import RemoteRecord as RemoteRecord
from covey.client.members import Trace as Trace
from covey.errors import NotUp
from covey.fleet.host import Host
from covey.fleet.master import control_base
from covey.scheduler import locks
from covey.scheduler.member import Member
from covey.settings import Settings
from covey.wire.signing import KEY_BYTES

#: The head's name as a scheduler, and in subjects.
HEAD = "head"

#: What runs covey for whoever comes by ssh: while there is a cluster, and after it.
COMMAND, READER = "command", "reader"

#: Beside the passwords of bus users; no machine can have such a name.
_URL = "bus.url"


#: Who a joined machine is: another computer of the same name is another machine.
JOINED = "joined.json"
#: Archives of which a cluster remembers that its machines had them (`up --rollback`).
ARCHIVES_NOTED_MAX = 8


class ClusterFiles:
    """Reads and writes them. `change_machines` has a lock; the rest is written by one process."""

    def __init__(self, state_dir: Path) -> None:
        self.dir = state_dir
        self.keys = state_dir / "keys"
        #: Records and locks of shared schedulers.
        self.scheduler_dir = state_dir / "schedulers"
        self.bus_dir = state_dir / "bus"

    # ------------------------------------------------------------ machines

    def machines(self) -> list[Machine]:
        """The machines of the cluster, in the order in which they were named."""
        plain = _read_json(self.dir / "cluster.json") or {}
        return [_machine(one) for one in plain.get("machines", [])]

    def write_machines(self, machines: list[Machine]) -> None:
        """Replace the list."""
        text = json.dumps({"machines": [asdict(one) for one in machines]}, indent=1)
        write_private(self.dir / "cluster.json", text + "\n")

    def change_machines(self, change: Callable[[list[Machine]], list[Machine]]) -> list[Machine]:
        """Replace the list by what `change` makes of it, while nobody else does; returns it."""
        fd = locks.take(self.dir / "cluster.lock", wait_s=locks.SHORT_LOCK_TIMEOUT_S)
        try:
            machines = change(self.machines())
            self.write_machines(machines)
        finally:
            os.close(fd)
        return machines

    def machine_dir(self, name: str) -> Path:
        """Directory of a virtual machine; of one over ssh, what is known here of it."""
        return self.dir / "machines" / name

    def archives(self) -> list[str]:
        """File names of the archives that machines were given, the last one first."""
        found = (_read_json(self.dir / "archives.json") or {}).get("given", [])
        return [str(name) for name in found]

    def note_archive(self, name: str) -> None:
        """Machines are given this archive now."""
        before = self.archives()
        if before[:1] != [name]:
            given = [name, *(other for other in before if other != name)][:ARCHIVES_NOTED_MAX]
            write_private(self.dir / "archives.json", json.dumps({"given": given}) + "\n")

    # ------------------------------------------------------------ secrets

    def make_keys(self, agents: list[str]) -> None:
        """Make what is missing of keys and passwords."""
        for folder in (self.keys, self.keys / "agents", self.keys / "bus"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_secret(self.keys / "submit")
        _make_secret(self.keys / "bus" / ACCOUNT_USER)
        for name in agents:
            _make_secret(self.keys / "agents" / name)
            _make_secret(self.keys / "bus" / name)

    def submit_key(self) -> bytes:
        """The key that signs requests to the head."""
        return _read_secret(self.keys / "submit")

    def agent_keys(self) -> dict[str, bytes]:
        """Agent -> key, of all machines of the cluster."""
        return {m.name: _read_secret(self.keys / "agents" / m.name) for m in self.machines()}

    def agent_key(self, name: str) -> bytes:
        """The key of one."""
        return _read_secret(self.keys / "agents" / name)

    def members(self) -> dict[str, Member]:
        """The agents that a scheduler of this cluster works with."""
        return {
            m.name: Member(self.agent_key(m.name), m.kind != "local", m.labels, m.is_draining)
            for m in self.machines()
        }

    def password(self, user: str) -> str:
        """Password of a bus user."""
        return _read_secret(self.keys / "bus" / user).hex()

    def password_file(self, user: str) -> Path:
        """Where it is."""
        return self.keys / "bus" / user

    # ------------------------------------------------------------ processes

    def head(self) -> ProcessRecord | None:
        """The head that runs or ran last."""
        return _read_process(self.dir / "head.json")

    def write_head(self, record: ProcessRecord) -> None:
        """Say who the head is."""
        write_private(self.dir / "head.json", json.dumps(asdict(record)) + "\n")

    def schedulers(self) -> dict[str, ProcessRecord]:
        """The shared schedulers that run or ran (`covey scheduler`), by name."""
        found = {p.stem: _read_process(p) for p in sorted(self.scheduler_dir.glob("*.json"))}
        return {name: record for name, record in found.items() if record is not None}

    def write_scheduler(self, name: str, record: ProcessRecord) -> None:
        """Say which process it is."""
        write_private(self.scheduler_dir / f"{name}.json", json.dumps(asdict(record)) + "\n")

    def agent(self, name: str) -> ProcessRecord | None:
        """The agent of a virtual machine."""
        return _read_process(self.machine_dir(name) / "agent.json")

    def write_agent(self, name: str, record: ProcessRecord) -> None:
        """Say which process it is."""
        write_private(self.machine_dir(name) / "agent.json", json.dumps(asdict(record)) + "\n")

    def remote(self, name: str) -> RemoteRecord | None:
        """The agent that was started on a machine over ssh."""
        plain = _read_json(self.machine_dir(name) / "remote.json")
        try:
            return None if plain is None else RemoteRecord(**plain)
        except TypeError:
            return None

    def write_remote(self, name: str, record: RemoteRecord) -> None:
        """Say what was started there."""
        directory = self.machine_dir(name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(directory / "remote.json", json.dumps(asdict(record)) + "\n")

    def control_dir(self) -> Path:
        """Where the control sockets of our ssh connections are: short, local, ours alone.

        Written down, for a head or a command that finds another XDG_RUNTIME_DIR must find them too.
        """
        note = self.dir / "control"
        try:
            return Path(note.read_text().strip())
        except OSError:
            short = hashlib.sha256(os.fsencode(self.dir.absolute())).hexdigest()[:8]
            path = control_base() / f"ssh-{short}"
            self.dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(note, f"{path}\n")
            return path

    # ------------------------------------------------------------ traces

    def traces(self) -> list[Trace]:
        """Hosts that have something of ours: an archive at least."""
        plain = _read_json(self.dir / "traces.json") or {}
        return [Trace(**one | {"host": _host(one["host"])}) for one in plain.get("hosts", [])]

    def change_traces(self, change: Callable[[list[Trace]], list[Trace]]) -> None:
        """Replace the list by what `change` makes of it, while nobody else does."""
        fd = locks.take(self.dir / "cluster.lock", wait_s=locks.SHORT_LOCK_TIMEOUT_S)
        try:
            hosts = [asdict(trace) for trace in change(self.traces())]
            if hosts:
                text = json.dumps({"hosts": hosts}, indent=1)
                write_private(self.dir / "traces.json", text + "\n")
            else:
                (self.dir / "traces.json").unlink(missing_ok=True)
        finally:
            os.close(fd)

    # ------------------------------------------------------------ the bus

    def address(self) -> BusAddress:
        """Where the bus is, with our credential.

        Raises:
            NotUp: there is none.
        """
        if url := self._bus_url():
            return BusAddress(url, "", "", is_ours=False)
        record = read_record(self.bus_dir)
        if record is None:
            raise NotUp
        try:
            password = self.password(record.user)
        except OSError as error:
            raise NotUp from error
        return BusAddress(record.url, record.user, password, ca=self.authority().certificate())

    def authority(self) -> Authority:
        """The certificate authority of our bus; it may not have been made."""
        return Authority(self.keys / "tls")

    def write_bus_url(self, url: str) -> None:
        """Say that the user's own bus is used ("" = it is not). The address may hold a password."""
        path = self.password_file(_URL)
        if url:
            write_private(path, url + "\n")
        else:
            path.unlink(missing_ok=True)

    def space(self, cluster: str) -> str:
        """The name under which our subjects lie: on a bus of others, one that nobody else has."""
        if not self._bus_url():
            return cluster
        return f"{cluster[:SPACE_NAME_MAX]}-{hashlib.sha256(self.submit_key()).hexdigest()[:16]}"

    def _bus_url(self) -> str:
        try:
            return self.password_file(_URL).read_text().strip()
        except OSError:
            return ""

    def is_begun(self) -> bool:
        """Whether a head was started and the cluster not taken down since."""
        return (self.dir / COMMAND).exists()

    def forget_machine(self, name: str) -> None:
        """Remove what belongs to a running agent, and its key; what tasks wrote stays."""
        directory = self.machine_dir(name)
        for file in ("agent.json", "remote.json", "tunnel.json", JOINED):
            (directory / file).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            # Of one over ssh nothing else is there.
            directory.rmdir()
        for keys in ("agents", "bus"):
            (self.keys / keys / name).unlink(missing_ok=True)

    def forget(self) -> None:
        """Remove what belongs to a running cluster; the ledger, logs and outputs stay."""
        for machine in self.machines():
            self.forget_machine(machine.name)
        shutil.rmtree(self.control_dir(), ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            # Whoever comes by ssh may still read the ledger.
            (self.dir / COMMAND).replace(self.dir / READER)
        for name in (
            "head.json",
            "cluster.json",
            "cluster.lock",
            "control",
            "users.json",
        ):
            (self.dir / name).unlink(missing_ok=True)
        for folder in (self.keys, self.bus_dir, self.scheduler_dir):
            shutil.rmtree(folder, ignore_errors=True)


def files_of(settings: Settings) -> ClusterFiles:
    """The files of the cluster that this call works with."""
    return ClusterFiles(settings.state_dir)


def _machine(plain: dict[str, Any]) -> Machine:
    host, groups = plain.pop("host", None), plain.pop("groups", ())
    return Machine(**plain, groups=tuple(groups), host=None if host is None else _host(host))


def _host(plain: dict[str, Any]) -> Host:
    tuples: dict[str, Any] = {key: tuple(plain[key]) for key in ("labels", "packages")}
    return Host(**(plain | tuples))


def _make_secret(path: Path) -> None:
    if not path.exists():
        write_private(path, secrets.token_hex(KEY_BYTES) + "\n")


def _read_secret(path: Path) -> bytes:
    return bytes.fromhex(path.read_text().strip())


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def _read_process(path: Path) -> ProcessRecord | None:
    plain = _read_json(path)
    try:
        return None if plain is None else ProcessRecord(**plain)
    except TypeError:
        return None


def own_record(*, term: int = 0, incarnation: str = "", runtime_dir: str = "") -> ProcessRecord:
    """The record of this very process."""
    started = start_time(os.getpid()) or 0
    return ProcessRecord(os.getpid(), started, term, incarnation, runtime_dir, VERSION)
