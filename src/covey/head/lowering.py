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

from covey.agent import persist, runtime
from covey.client.client import HeadClient
from covey.client.cluster import ClusterFiles, Machine, Trace, files_of
from covey.errors import CoveyError, MachineError, UsageError
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.contact import Contact, log_in
from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh
from covey.head import processes
from covey.head.reason import explained
from covey.scheduler.folding import head_is_up
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
        self._stop_local([m.name for m in known if m.kind == "local"])
        self._stop_remote(self._hosts_to_stop(known))
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

    # ------------------------------------------------------------ virtual machines

    def _stop_local(self, names: list[str]) -> None:
        def end(name: str) -> Lowered:
            processes.end_agent(self.files, name, is_now=self.order.is_now)
            return Lowered(name, is_stopped=True)

        with ThreadPoolExecutor(processes.STARTS_AT_ONCE) as pool:
            for lowered in pool.map(end, names):
                self._tell(lowered)

    # ------------------------------------------------------------ over ssh

    def _hosts_to_stop(self, known: list[Machine]) -> list[Host]:
        """Machines of the cluster, and those that an earlier one could not reach."""
        hosts = {m.name: m.host for m in known if m.host is not None and m.kind == "ssh"}
        for trace in self.files.traces():
            if trace.is_running or self.order.is_purge:
                hosts.setdefault(trace.host.name, trace.host)
        return list(hosts.values())

    def _stop_remote(self, hosts: list[Host]) -> None:
        if not hosts:
            return

        def done(host: Host, result: bool | MachineError) -> None:
            if isinstance(result, MachineError):
                self._tell(Lowered(host.name, is_stopped=False, why=_why(host, result)))
            else:
                self._tell(Lowered(host.name, is_stopped=True))

        results = fan_out(
            hosts, self._stop_one, address_of=lambda host: (host.address, host.port), on_result=done
        )
        failed = {
            host.name
            for host, result in zip(hosts, results, strict=True)
            if isinstance(result, MachineError)
        }
        self._write_traces({host.name for host in hosts}, failed)

    def _stop_one(self, host: Host) -> bool:
        connection = self.ssh.connection(host)
        try:
            log_in(connection, self.order.contact, timeout_s=OPEN_MAX_S)
            if self.order.is_purge:
                bootstrap.purge(connection, self.settings.cluster, host.name, archives.current())
                self.purged.add(host.name)
            else:
                bootstrap.stop(connection, self.settings.cluster, host.name)
        finally:
            connection.close()
        return True

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
        shutil.rmtree(self.files.dir / "logs", ignore_errors=True)
        shutil.rmtree(archives.default_cache(), ignore_errors=True)
        with suppress(OSError):
            archives.default_cache().parent.rmdir()

    def _tell(self, lowered: Lowered) -> None:
        self.done.append(lowered)
        self.on_machine(lowered)


def _why(host: Host, error: CoveyError) -> str:
    reason, _ = explained(error)
    return (
        f"{reason} — its agent ends by itself when it has had no bus for a day; when it can be"
        f" reached: covey down {host.name}"
    )


__all__ = ["Down", "DownOrder", "Lowered", "down", "take_down"]
