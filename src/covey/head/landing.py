"""One machine over ssh, from a connection to an agent that is ready. Many at once, in threads.

open -> visit (probe, send the archive, start) -> the head makes the tunnel -> ready
"""

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from covey.agent.machine import Answer, MachineOrder
from covey.bus.config import AGENT_PREFIX
from covey.client.cluster import ClusterFiles, Machine, RemoteRecord, Trace
from covey.errors import BootstrapFailed, ConnectFailed
from covey.fleet import bootstrap
from covey.fleet.archive import Archive
from covey.fleet.contact import log_in
from covey.fleet.host import Host
from covey.fleet.probe import Probe, probe, shared_homes
from covey.fleet.ssh import Connection, Ssh
from covey.fleet.visit import Visit
from covey.head.direct import Listen
from covey.head.raised import Raised, UpOrder
from covey.head.waiting import HeadWatch, is_ready
from covey.settings import Settings

#: Connecting and logging in, questions to the user not counted in.
OPEN_MAX_S = 20.0


@dataclass(slots=True)
class Landing:
    """What all machines of one `up` have in common. Thread-safe."""

    settings: Settings
    files: ClusterFiles
    order: UpOrder
    ssh: Ssh
    #: Each is there when it is needed: they are made while machines are connected to.
    archive: "Future[Archive]"
    head: "Future[HeadWatch]"
    #: Machines of the cluster before this `up`, for homes that are shared with them.
    lock: threading.Lock = field(default_factory=threading.Lock)
    probes: dict[str, Probe] = field(default_factory=dict[str, Probe])
    #: Name -> whether its agent was told that the home is shared.
    told: dict[str, bool] = field(default_factory=dict[str, bool])
    traces: list[Trace] = field(default_factory=list[Trace])
    landed: dict[str, Machine] = field(default_factory=dict[str, Machine])
    #: Agents of another archive that were left alone: to be replaced one by one.
    outdated: list[Machine] = field(default_factory=list[Machine])
    #: Machines of the cluster -> how they were reached before this `up`.
    earlier: Mapping[str, Host | None] = field(default_factory=dict[str, Host | None])

    def land(self, machine: Machine) -> Raised:
        """Bring the agent up, or find that it runs.

        Raises:
            ConnectFailed, BootstrapFailed: what did not work, and what to do.
        """
        began = time.monotonic()
        host = _host_of(machine)
        if self._runs(machine):
            record = self.files.remote(machine.name)
            assert record is not None
            raised = Raised(machine.name, "running", login=host.login, slots=record.slots)
            notes = self._kept(machine, record.slots)
            return replace(raised, platform=record.platform, python=record.python, notes=notes)
        connection = self.ssh.connection(host)
        log_in(
            connection,
            self.order.contact,
            accept_new=self.order.accepts_new_host_keys,
            timeout_s=OPEN_MAX_S,
        )
        if self.order.is_starting:
            with Visit(connection, self.settings.cluster) as visit:
                raised = self._seen(machine, visit.found)
                visit.send(self.archive.result(), machine.name)
                raised = self._start(connection, machine, raised, visit)
        else:
            found = probe(connection, self.settings.cluster)
            raised = self._seen(machine, found)
            bootstrap.send_archive(connection, found, self.archive.result())
        return replace(raised, elapsed_s=time.monotonic() - began)

    def _seen(self, machine: Machine, found: Probe) -> Raised:
        """Note what it is like."""
        host, archive = _host_of(machine), self.archive.result()
        with self.lock:
            self.probes[machine.name] = found
            self.traces.append(Trace(host, found.executable, archive.name))
        raised = Raised(machine.name, "sent", login=host.login, python=found.python)
        return replace(raised, platform=found.platform, is_root=found.uid == 0)

    def _runs(self, machine: Machine) -> bool:
        """Whether nothing is to be done: no ssh process is needed to know it."""
        record = self.files.remote(machine.name)
        if record is None or not self.order.is_starting:
            return False
        before = self.earlier.get(machine.name)
        if before is not None and before.login != _host_of(machine).login:
            # Whether this leads there is not known.
            return False
        is_wanted = record.is_persistent or not self.order.is_persistent
        if not is_wanted or record.archive != self.archive.result().name:
            return False
        return is_ready(self.head.result().state(machine.name), record.incarnation)

    def _start(
        self,
        connection: Connection,
        machine: Machine,
        raised: Raised,
        visit: Visit | None = None,
    ) -> Raised:
        """Start it, in the session of the visit if there is one, and wait until it is ready."""
        head, archive = self.head.result(), self.archive.result()
        order = self._order_for(machine)
        found = self.probes[machine.name]
        if visit is not None:
            answer = visit.start(order)
        else:
            answer = bootstrap.start(connection, found, archive, order)
        found = self.probes[machine.name] = found.having(archive.name)
        state = "running" if answer.state == "running" else "started"
        if answer.state == "outdated":
            if is_ready(head.state(machine.name), answer.incarnation) and not self.order.is_now:
                with self.lock:
                    self.outdated.append(machine)
                return replace(raised, state="running", slots=answer.slots)
            # Of another protocol, or nobody hears it: there is nothing to be finished.
            self._stop(connection, machine.name)
            answer = bootstrap.start(connection, found, archive, order)
            state = "replaced"
        self._landed(machine, found, answer)
        head.ask("tunnel", machine=machine.name)
        head.await_ready(
            machine.name, answer.incarnation, lambda: self._check_runs(connection, machine, answer)
        )
        notes = answer.notes
        if state == "running":
            notes += self._kept(machine, answer.slots)
        if order.is_home_shared and not order.workdir:
            notes = (*notes, f"shares its home with others: it works in {answer.workdir}")
        return replace(raised, state=state, slots=answer.slots, notes=notes)

    def replace(self, machine: Machine, on_wait: Callable[[], None]) -> Raised:
        """Let an agent finish what it has, then put another in its place.

        Raises:
            ConnectFailed, BootstrapFailed: as `land`.
        """
        began = time.monotonic()
        head = self.head.result()
        head.ask("drain", machines=[machine.name], on=True)
        try:
            on_wait()
            head.await_idle(machine.name)
            connection = self.ssh.connection(_host_of(machine))
            connection.open(timeout_s=OPEN_MAX_S)
            self._stop(connection, machine.name)
            found = self.probes[machine.name]
            raised = Raised(machine.name, "replaced", login=connection.host.login)
            raised = replace(raised, platform=found.platform, python=found.python)
            raised = self._start(connection, machine, raised)
        finally:
            head.ask("drain", machines=[machine.name], on=machine.is_draining)
        return replace(raised, state="replaced", elapsed_s=time.monotonic() - began)

    def share_out(self, machine: Machine) -> Raised | None:
        """Start an agent anew that began in a home that others came to share; None: it need not."""
        name = machine.name
        if self.told.get(name) is not False or not self._is_shared(name):
            return None
        connection = self.ssh.connection(_host_of(machine))
        connection.open(timeout_s=OPEN_MAX_S)
        self._stop(connection, name)
        found = self.probes[name]
        raised = Raised(name, "started", login=connection.host.login, python=found.python)
        return self._start(connection, machine, replace(raised, platform=found.platform))

    def close(self, machine: Machine) -> None:
        """End the connection to a machine that is not used any more."""
        with contextlib.suppress(ConnectFailed):
            self.ssh.connection(_host_of(machine)).close()

    # ------------------------------------------------------------ inside

    def _stop(self, connection: Connection, name: str) -> None:
        bootstrap.stop(connection, self.settings.cluster, name)
        # Otherwise the head would wait for it: a link over a network may just be broken.
        self.head.result().ask("stopped", machine=name)

    def _check_runs(self, connection: Connection, machine: Machine, answer: Answer) -> None:
        try:
            bootstrap.check_runs(connection, self.settings.cluster, machine.name, answer.pid)
        except BootstrapFailed:
            with self.lock:
                # A new one is no part of the cluster, then.
                self.landed.pop(machine.name, None)
            raise
        except ConnectFailed:
            # The head knows why, or makes another connection.
            return

    def _kept(self, machine: Machine, slots: int) -> tuple[str, ...]:
        """What is not as the user may expect of an agent that runs on."""
        name, wanted = machine.name, _host_of(machine).slots or self.order.slots
        notes: list[str] = []
        # Other forms depend on what the machine has.
        if wanted.isdigit() and int(wanted) not in (0, slots):
            has = "1 slot" if slots == 1 else f"{slots} slots"
            notes.append(f"it keeps its {has}; for {wanted}: covey down {name}, then up again")
        if machine.is_draining:
            notes.append(f"it drains; takes work again: covey drain --undo {name}")
        return tuple(notes)

    def _is_shared(self, name: str) -> bool:
        with self.lock:
            return name in shared_homes(self.probes)

    def _order_for(self, machine: Machine) -> MachineOrder:
        host, files = _host_of(machine), self.files
        is_shared = self._is_shared(machine.name)
        self.told[machine.name] = is_shared
        address = files.address()
        listen = Listen.parse(self.settings.bus_listen)
        if not address.is_ours:
            # The user's bus: one credential, in the address.
            url, user, password = address.url, address.user, address.password
        else:
            url = listen.urls_for(host.address) if listen is not None else ""
            user, password = AGENT_PREFIX + machine.name, files.password(machine.name)
        return MachineOrder(
            cluster=self.settings.cluster,
            space=files.space(self.settings.cluster),
            agent=machine.name,
            key=files.agent_key(machine.name).hex(),
            user=user,
            password=password,
            ca=address.ca,
            bus_url=url,
            slots=host.slots or self.order.slots,
            workdir=host.workdir,
            is_home_shared=is_shared,
            packages=host.packages,
            is_persistent=self.order.is_persistent,
        )

    def _landed(self, machine: Machine, found: Probe, answer: Answer) -> None:
        at_login = RemoteRecord("", "", "", found.executable, found.python, found.platform)
        self.files.write_remote(machine.name, at_login.as_found(answer))
        known = replace(
            machine,
            slots=answer.slots,
            slots_from=answer.slots_from,
            directory=answer.workdir,
        )
        with self.lock:
            self.landed[machine.name] = known


def _host_of(machine: Machine) -> Host:
    assert machine.host is not None
    return machine.host
