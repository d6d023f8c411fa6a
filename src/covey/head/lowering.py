"""Takes machines down, or the whole cluster: agents, ssh connections, head, bus, keys.

The head goes first, so that nobody makes a connection again that is ended here; agents are then
stopped over the connections that are there, all at once. What cannot be reached is told by name and
remembered (traces.json), so that a later `down` finds it.
"""

import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace

from covey.agent import outputs, persist, runtime
from covey.agent.outputs import Held
from covey.client.client import HeadClient
from covey.client.cluster import READER, ClusterFiles, Machine, Trace, files_of
from covey.errors import BootstrapFailed, CoveyError, MachineError, UsageError
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.contact import Contact, log_in
from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh
from covey.head import processes
from covey.head.reason import explained
from covey.scheduler.locks import head_is_up
from covey.settings import Settings

#: The file that says that something starts the head after a reboot.
PERSISTENT = "persistent"
#: Connecting to a machine whose connection is gone.
OPEN_MAX_S = 15.0


@dataclass(frozen=True, slots=True)
class DownOrder:
    """What `covey down` was asked for."""

    #: Only these machines leave, the cluster stays (None = everything).
    only: tuple[str, ...] | None = None
    #: Machines that the cluster does not know but that may have something of ours.
    hosts: tuple[Host, ...] = ()
    #: Archives, caches, logs, environments, units too.
    is_purge: bool = False
    #: With it: what tasks wrote into directories that were made for them, too.
    is_data: bool = False
    #: Kill at once, ask nobody.
    is_now: bool = False
    #: Who answers the questions of ssh; None: nobody does, and nothing is asked.
    contact: Contact | None = None


@dataclass(frozen=True, slots=True)
class Lowered:
    """How it went with one machine."""

    name: str
    is_stopped: bool
    #: Why it was not, and what to do.
    why: str = ""
    #: It answered; something could not be done there.
    was_reached: bool = False
    #: What was removed of what tasks wrote.
    removed: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Down:
    """How it went with all."""

    was_up: bool
    machines: tuple[Lowered, ...]


def down(
    settings: Settings, order: DownOrder, on_machine: Callable[[Lowered], None] | None = None
) -> Down:
    """Take machines or the cluster down. The ledger stays. `on_machine` hears of each.

    Raises:
        UsageError: `only` names a machine that is not there.
        StateInUse: an `up` or `down` is under way and does not end.
    """
    if not settings.state_dir.is_dir() and not order.hosts:
        return Down(was_up=False, machines=())
    with processes.alone(settings):
        return _Lowering(settings, files_of(settings), order, on_machine or _ignore).run()


def take_down(settings: Settings) -> Down:
    """The whole cluster, by whoever holds the lock (`processes.alone`)."""
    return _Lowering(settings, files_of(settings), DownOrder(), _ignore).run()


def local_names(files: ClusterFiles, order: DownOrder) -> list[str]:
    """Virtual machines that it takes down; with `is_data` also those that left something."""
    known = [m.name for m in files.machines() if m.kind == "local"]
    if order.only is not None:
        return [name for name in known if name in order.only]
    if not order.is_data:
        return known
    noted = sorted(path.parent.name for path in files.dir.glob(f"machines/*/{outputs.NAME}"))
    return [*known, *(name for name in noted if name not in known)]


def hosts_to_stop(files: ClusterFiles, order: DownOrder) -> list[Host]:
    """Machines over ssh that it takes down; also those that an earlier one could not reach."""
    known = [m for m in files.machines() if m.host is not None and m.kind == "ssh"]
    if order.only is not None:
        named = [m.host for m in known if m.host is not None and m.name in order.only]
        return [*named, *order.hosts]
    hosts = {m.name: m.host for m in known if m.host is not None}
    for trace in files.traces():
        if trace.is_running or order.is_purge:
            hosts.setdefault(trace.host.name, trace.host)
    return list(hosts.values())


def _ignore(_: Lowered) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class _Lowering:
    settings: Settings
    files: ClusterFiles
    order: DownOrder
    on_machine: Callable[[Lowered], None]
    ssh: Ssh = field(init=False)
    done: list[Lowered] = field(default_factory=list[Lowered])
    purged: set[str] = field(default_factory=set[str])

    def run(self) -> Down:
        self.ssh = Ssh(self.files.control_dir(), os.environ, answers=self.order.contact)
        known = self.files.machines()
        if self.order.only is not None:
            self._leave(known, self.order.only)
            self._stop_remote(list(self.order.hosts))
            return Down(head_is_up(self.settings.state_dir), tuple(self.done))
        was_up = processes.stop_head(self.settings, self.files, is_now=self.order.is_now)
        processes.stop_schedulers(self.files, is_now=self.order.is_now)
        self._stop_local(local_names(self.files, self.order))
        self._stop_remote(hosts_to_stop(self.files, self.order))
        processes.stop_bus(self.settings, self.files)
        # What an `up` that was killed had begun, and agents that were killed left, is nobody's.
        runtime.sweep()
        if (mark := self.files.dir / PERSISTENT).exists():
            # Not asked of systemd and cron unless need be: that takes longer than all the rest.
            persist.remove(processes.unit_name(self.settings))
            mark.unlink()
        self.files.forget()
        if self.order.is_purge:
            self._purge_here()
        return Down(was_up or bool(known), tuple(self.done))

    def _leave(self, known: list[Machine], names: Iterable[str]) -> None:
        """Some machines leave a cluster that stays."""
        wanted = set(names)
        if unknown := wanted - {machine.name for machine in known}:
            raise UsageError(f"there is no machine {', '.join(sorted(unknown))} in this cluster")
        self.files.change_machines(lambda there: [m for m in there if m.name not in wanted])
        if head_is_up(self.settings.state_dir):
            # It looks away from their connections, and what ran there runs elsewhere.
            with HeadClient.connect(self.settings) as head:
                head.ask("machines")
        leaving = [machine for machine in known if machine.name in wanted]
        self._stop_local([m.name for m in leaving if m.kind == "local"])
        self._stop_remote([m.host for m in leaving if m.host is not None and m.kind == "ssh"])
        for machine in leaving:
            self.files.forget_machine(machine.name)
            if machine.kind == "joined":
                # Whoever keeps its agent there sees that it has no place here, and ends it.
                self._tell(Lowered(machine.name, is_stopped=True))

    # ------------------------------------------------------------ virtual machines

    def _stop_local(self, names: list[str]) -> None:
        def end(name: str) -> Lowered:
            processes.end_agent(self.files, name, is_now=self.order.is_now)
            if not self.order.is_purge:
                return Lowered(name, is_stopped=True)
            try:
                return Lowered(name, is_stopped=True, removed=self._purge_local(name))
            except OSError as error:
                why = f"{error.filename}: {error.strerror}"
                return Lowered(name, is_stopped=False, why=why, was_reached=True)

        with ThreadPoolExecutor(processes.STARTS_AT_ONCE) as pool:
            for lowered in pool.map(end, names):
                self._tell(lowered)

    def _purge_local(self, name: str) -> tuple[Held, ...]:
        directory = self.files.machine_dir(name)
        found = tuple(outputs.held(directory))
        if self.order.is_data:
            outputs.remove(directory)
        outputs.remove_empty(directory)
        shutil.rmtree(directory / "bin", ignore_errors=True)
        if not outputs.held(directory):
            shutil.rmtree(directory / outputs.NAME, ignore_errors=True)
        for empty in (directory / "work", directory):
            with suppress(OSError):
                empty.rmdir()
        return found if self.order.is_data else ()

    # ------------------------------------------------------------ over ssh

    def _stop_remote(self, hosts: list[Host]) -> None:
        if not hosts:
            return

        def done(host: Host, result: tuple[Held, ...] | MachineError) -> None:
            if isinstance(result, MachineError):
                was_reached = isinstance(result, BootstrapFailed)
                why = _why(host, result)
                self._tell(Lowered(host.name, is_stopped=False, why=why, was_reached=was_reached))
            else:
                self._tell(Lowered(host.name, is_stopped=True, removed=result))

        results = fan_out(
            hosts, self._stop_one, address_of=lambda host: (host.address, host.port), on_result=done
        )
        failed = {
            host.name
            for host, result in zip(hosts, results, strict=True)
            if isinstance(result, MachineError)
        }
        self._write_traces({host.name for host in hosts}, failed)

    def _stop_one(self, host: Host) -> tuple[Held, ...]:
        connection = self.ssh.connection(host)
        cluster, is_data = self.settings.cluster, self.order.is_data
        removed: tuple[Held, ...] = ()
        try:
            log_in(connection, self.order.contact, timeout_s=OPEN_MAX_S)
            if self.order.is_purge:
                archive = archives.current()
                done = bootstrap.purge(connection, cluster, host.name, archive, is_data=is_data)
                removed = done.held
                self.purged.add(host.name)
            else:
                bootstrap.stop(connection, cluster, host.name)
        finally:
            connection.close()
        return removed

    def _write_traces(self, asked: set[str], failed: set[str]) -> None:
        def change(there: list[Trace]) -> list[Trace]:
            kept = [trace for trace in there if trace.host.name not in self.purged]
            return [
                replace(t, is_running=t.host.name in failed) if t.host.name in asked else t
                for t in kept
            ]

        self.files.change_traces(change)

    # ------------------------------------------------------------ here

    def _purge_here(self) -> None:
        """Logs, and the archives that are sent; the ledger and what tasks wrote stay."""
        for directory in self.files.dir.glob("machines/*"):
            # Of virtual machines of before.
            with suppress(OSError):
                self._purge_local(directory.name)
        shutil.rmtree(self.files.dir / "logs", ignore_errors=True)
        (self.files.dir / READER).unlink(missing_ok=True)
        shutil.rmtree(archives.default_cache(), ignore_errors=True)
        with suppress(OSError):
            archives.default_cache().parent.rmdir()

    def _tell(self, lowered: Lowered) -> None:
        self.done.append(lowered)
        self.on_machine(lowered)


def _why(host: Host, error: CoveyError) -> str:
    reason, remedy = explained(error)
    if isinstance(error, BootstrapFailed):
        return f"{reason} — {remedy}" if remedy else reason
    return (
        f"{reason} — its agent ends by itself when it has had no bus for a day; when it can be"
        f" reached: covey down {host.name}"
    )


__all__ = ["Down", "DownOrder", "Lowered", "down", "hosts_to_stop", "local_names", "take_down"]
