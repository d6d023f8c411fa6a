"""Brings machines up: agents put onto machines over ssh, virtual machines started here.

    head first (started or adopted) -> each machine by itself, in parallel (`head.landing`)

A machine that cannot be brought up delays and fails nobody else; doing it again repairs.
"""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from covey._version import VERSION
from covey.agent import persist, runtime
from covey.agent.cpus import parse_slots
from covey.bus.loop import fill
from covey.client.cluster import COMMAND, ClusterFiles, Machine, Trace, files_of
from covey.client.users import write_users
from covey.errors import AlreadyUp, MachineError, UsageError
from covey.fleet import archive as archives
from covey.fleet.archive import Archive
from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh
from covey.head import processes
from covey.head.landing import Landing
from covey.head.lowering import PERSISTENT, take_down
from covey.head.raised import Raised, Up, UpOrder
from covey.head.waiting import LOOK_EVERY_S, READY_MAX_S, HeadWatch
from covey.head.wanted import wanted
from covey.model.agent_state import AgentState
from covey.scheduler.locks import head_is_up
from covey.scheduler.places import settled
from covey.settings import Settings

#: Virtual machines that one `up --local` makes at most.
LOCAL_MACHINES_MAX = 256


def up(
    settings: Settings,
    order: UpOrder,
    on_machine: Callable[[Raised], None] | None = None,
    on_wait: Callable[[str], None] | None = None,
) -> Up:
    """Bring up a head and machines.

    on_machine hears of each as it is done; on_wait of each that is waited for until its tasks are
    finished (an agent of another version).

    Raises:
        AlreadyUp: only virtual machines were asked for, and all of them run.
        UsageError: neither machines are named nor any known.
        SettingsError: `slots` is no number of slots.
        CoveyError: the head did not start. What goes wrong on a machine is in its `Raised`.
    """
    if order.local is not None and not 1 <= order.local <= LOCAL_MACHINES_MAX:
        raise UsageError(f"--local {order.local}: give a number from 1 to {LOCAL_MACHINES_MAX}")
    # A word that is none is refused before anything is begun.
    parse_slots(order.slots)
    settings, note = settled(settings)
    with processes.alone(settings):
        runtime.sweep()
        raising = _Raising(settings, files_of(settings), order, note)
        raising.on_machine = on_machine or raising.on_machine
        raising.on_wait = on_wait or raising.on_wait
        return raising.run()


def _ignore(_: object) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class _Raising:
    settings: Settings
    files: ClusterFiles
    order: UpOrder
    note: str
    on_machine: Callable[[Raised], None] = _ignore
    on_wait: Callable[[str], None] = _ignore
    was_up: bool = False
    raised: dict[str, Raised] = field(default_factory=dict[str, Raised])
    began: dict[str, float] = field(default_factory=dict[str, float])
    landing: Landing | None = None

    def run(self) -> Up:
        self.was_up = head_is_up(self.settings.state_dir)
        known = self.files.machines()
        local, remote = wanted(self.files, self.order, known, was_up=self.was_up)
        dead = [m for m in local if not processes.is_alive(self.files, m.name)]
        changes = self.order.groups or self.order.users is not None
        if self.was_up and not (dead or remote or changes) and self.order.local is not None:
            cluster = self.settings.cluster
            raise AlreadyUp(f"cluster {cluster} is up already: see it with: covey status")
        if not self.order.is_starting:
            self._send_only(remote)
        else:
            try:
                self._enrol(known, local, remote)
                self._raise(known, local, dead, remote)
            except BaseException:
                self._undo(known, remote)
                raise
        names = [machine.name for machine in (*local, *remote)]
        return Up(tuple(self.raised[name] for name in names), self.note, self.was_up)

    def _enrol(self, known: list[Machine], local: list[Machine], remote: list[Machine]) -> None:
        """cluster.json and keys, so that the bus lets them in."""
        ours = {machine.name: machine for machine in (*local, *remote)}
        # `--local N` says which virtual machines there are.
        is_local = self.order.local is not None
        gone = {machine.name for machine in known if machine.kind == "local" and is_local}

        def change(there: list[Machine]) -> list[Machine]:
            kept = [ours.pop(m.name, m) for m in there if m.name in ours or m.name not in gone]
            return kept + list(ours.values())

        if self.order.users is not None:
            write_users(self.settings.state_dir, self.order.users)
        self.files.make_keys(list(ours))
        self.files.change_machines(change)

    # ------------------------------------------------------------ the head

    def _ensure_head(self) -> None:
        """A head of this version runs, and knows the machines."""
        head = self.files.head() if self.was_up else None
        if head is not None and head.version != VERSION:
            # It can be killed at any moment: agents, tasks and the bus go on.
            processes.stop_head(self.settings, self.files)
            head = None
        if not self.was_up or head is None:
            told = processes.start_head(self.settings, self.files)
            self.note = "; ".join(filter(None, (self.note, told)))

    def _watch_head(self) -> HeadWatch:
        is_new = not self.was_up
        self._ensure_head()
        watch = HeadWatch(self.settings)
        if not is_new:
            watch.ask("machines")
        return watch

    def _raise(
        self, known: list[Machine], local: list[Machine], dead: list[Machine], remote: list[Machine]
    ) -> None:
        head, archive = Future[HeadWatch](), Future[Archive]()
        try:
            # Called away, it waits for both: a head that is about to begin is one to take down.
            with ThreadPoolExecutor(2) as pool:
                pool.submit(fill, head, self._watch_head)
                if remote:
                    pool.submit(fill, archive, self._archive)
                if local:
                    self._raise_local(local, dead, head.result())
                if remote:
                    self._raise_remote(known, remote, head, archive)
        finally:
            if head.done() and head.exception() is None:
                head.result().close()
        if self.files.machines():
            self._persist()
        elif not self.was_up:
            take_down(self.settings)

    def _undo(self, known: list[Machine], remote: list[Machine]) -> None:
        """A head that was started for this does not stay behind without a machine."""
        self._settle(known, remote)
        if not self.was_up and (not remote or not self.files.machines()):
            take_down(self.settings)

    def _persist(self) -> None:
        """Have the head come back after a restart of this computer, and make the tunnels again."""
        if not self.order.is_persistent:
            return
        argv = ["/bin/sh", str(self.files.dir / COMMAND), "up"]
        what = f"the head of cluster {self.settings.cluster}"
        (self.files.dir / PERSISTENT).touch()
        note = persist.install(processes.unit_name(self.settings), argv, what)
        self.note = "; ".join(filter(None, (self.note, note)))

    def _archive(self) -> Archive:
        history = self.files.archives()
        if not self.order.is_rollback:
            chosen = archives.current()
        else:
            earlier = {one.path.name: one for one in archives.every()}
            chosen = next((earlier[name] for name in history[1:] if name in earlier), None)
            if chosen is None:
                raise UsageError("--rollback: there is no archive of an earlier covey here")
        self.files.note_archive(chosen.path.name)
        return chosen

    # ------------------------------------------------------------ virtual machines

    def _raise_local(self, local: list[Machine], dead: list[Machine], head: HeadWatch) -> None:
        began = time.monotonic()
        started = processes.start_agents(self.settings, self.files, local)
        names, waited = {m.name for m in local}, {m.name for m in dead}
        until = began + READY_MAX_S
        # One that does not come in time is not waited for: `covey status` shows it.
        while time.monotonic() < until:
            states = {name: head.state(name, hello=True).get("state") for name in names}
            is_met = all(state not in (None, AgentState.JOINING) for state in states.values())
            if is_met and all(states[name] == AgentState.READY for name in waited):
                break
            time.sleep(LOOK_EVERY_S)
        for machine, one in zip(local, started, strict=True):
            state = "started" if one["started"] else "running"
            elapsed_s = time.monotonic() - began
            raised = Raised(machine.name, state, "local", slots=machine.slots, elapsed_s=elapsed_s)
            self._tell(raised)

    # ------------------------------------------------------------ over ssh

    def _landing(self, head: "Future[HeadWatch]", archive: "Future[Archive]") -> Landing:
        order = self.order
        ssh = Ssh(self.files.control_dir(), os.environ, answers=order.contact)
        return Landing(self.settings, self.files, order, ssh, archive, head)

    def _send_only(self, remote: list[Machine]) -> None:
        archive = Future[Archive]()
        archive.set_result(self._archive())
        landing = self._landing(Future(), archive)
        try:
            self._fan_out(remote, landing)
        finally:
            self._write_traces(landing.traces)
            for machine in remote:
                landing.close(machine)

    def _raise_remote(
        self,
        known: list[Machine],
        remote: list[Machine],
        head: "Future[HeadWatch]",
        archive: "Future[Archive]",
    ) -> None:
        landing = self.landing = self._landing(head, archive)
        landing.earlier = {machine.name: machine.host for machine in known}
        self._fan_out(remote, landing)
        for machine in landing.outdated:
            self._replace(landing, machine)
        for machine in remote:
            if machine.name in landing.landed:
                landing.share_out(machine)
        self._settle(known, remote)
        head.result().ask("machines")

    def _settle(self, known: list[Machine], remote: list[Machine]) -> None:
        """Write down what became of them; a new one that did not come up is none of the cluster."""
        landing = self.landing
        failed = {machine.name for machine in remote} - {machine.name for machine in known}
        if landing is None:
            self._write_machines({}, failed, {})
            return
        # Of one that we were called away from nobody knows whether its agent was started.
        left = {machine.name for machine in remote} - set(self.raised)
        self._write_traces([replace(t, is_running=t.host.name in left) for t in landing.traces])
        failed -= set(landing.landed)
        self._write_machines(landing.landed, failed, landing.earlier)
        for machine in remote:
            if machine.name in failed:
                landing.close(machine)

    def _fan_out(self, remote: list[Machine], landing: Landing) -> None:
        outdated = landing.outdated

        def done(machine: Machine, result: Raised | MachineError) -> None:
            if isinstance(result, Raised) and machine not in outdated:
                self._tell(result)
            elif not isinstance(result, Raised):
                self._failed(machine, result)

        def land(machine: Machine) -> Raised:
            self.began.setdefault(machine.name, time.monotonic())
            return landing.land(machine)

        fan_out(remote, land, address_of=_address_of, on_result=done)

    def _replace(self, landing: Landing, machine: Machine) -> None:
        self.began[machine.name] = time.monotonic()
        try:
            self._tell(landing.replace(machine, lambda: self.on_wait(machine.name)))
        except MachineError as error:
            self._failed(machine, error)

    def _failed(self, machine: Machine, error: MachineError) -> None:
        host, elapsed_s = machine.host, time.monotonic() - self.began[machine.name]
        login = host.login if host else ""
        self._tell(Raised(machine.name, "failed", login=login, elapsed_s=elapsed_s, error=error))

    def _write_machines(
        self, landed: dict[str, Machine], failed: set[str], earlier: Mapping[str, Host | None]
    ) -> None:
        def change(there: list[Machine]) -> list[Machine]:
            return [
                _updated(m, landed.get(m.name), earlier.get(m.name))
                for m in there
                if m.name not in failed
            ]

        self.files.change_machines(change)

    def _write_traces(self, traces: list[Trace]) -> None:
        ours = {_place(trace.host) for trace in traces}
        if traces:
            self.files.change_traces(
                lambda there: [t for t in there if _place(t.host) not in ours] + traces
            )

    def _tell(self, raised: Raised) -> None:
        self.raised[raised.name] = raised
        self.on_machine(raised)


def _updated(machine: Machine, landed: Machine | None, before: Host | None) -> Machine:
    """What was learnt of a machine; whether it drains may have changed meanwhile."""
    if landed is not None:
        return replace(landed, is_draining=machine.is_draining)
    if before is not None and machine.host is not None and before.login != machine.host.login:
        # A way that led nowhere says nothing of a machine that is there.
        return replace(machine, host=before)
    return machine


def _address_of(machine: Machine) -> tuple[str, int]:
    assert machine.host is not None
    return machine.host.address, machine.host.port


def _place(host: Host) -> tuple[str, str, str, int]:
    return host.name, host.user, host.address, host.port


__all__ = ["LOCAL_MACHINES_MAX", "Raised", "Up", "UpOrder", "up"]
