"""Carries the bus to machines over ssh, and makes a connection that was lost again.

Each machine has one ssh connection (`fleet.ssh`), opened by `covey up` in the foreground, that
outlives the head: the next head adopts it. Its process is watched, so that a lost one is noticed
at once; it is made again without asking anybody anything (BatchMode), with growing pauses. Tasks
on the machine run on meanwhile, and outcomes wait there.
"""

import asyncio
import contextlib
import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from covey.agent.machine import Answer
from covey.bus.record import start_time, write_private
from covey.client.cluster import ClusterFiles, RemoteRecord
from covey.errors import BootstrapFailed, ConnectFailed, CoveyError
from covey.fleet import bootstrap
from covey.fleet.host import Host
from covey.fleet.ssh import Connection, Ssh, script, words
from covey.fleet.ssh_errors import FORWARDING_FORBIDDEN
from covey.head.reason import explained

log = logging.getLogger(__name__)

#: Connections that are made at the same time.
THREADS_MAX = 32
#: Pause before a lost connection is tried a second time; the first try is at once.
PAUSE_MIN_S = 0.5
#: Pauses double up to this, with up to as much jitter again.
PAUSE_MAX_S = 60.0
#: A login that takes longer has failed.
OPEN_MAX_S = 20.0
#: The tunnel stands and the agent is not heard of for so long: look whether it still runs there.
AGENT_MAX_S = 5.0
#: Pause between two such looks.
LOOK_EVERY_S = 30.0
#: Writing a few bytes to a machine.
NOTE_MAX_S = 20.0

#: idle: nothing was started there yet. connecting: it is tried now. waiting: it failed, see why.
TunnelState = Literal["idle", "connecting", "up", "waiting"]


@dataclass(frozen=True, slots=True)
class TunnelRecord:
    """A forward that was made: what the next head needs to adopt it."""

    #: Number of the socket or port file in the runtime directory; it only rises.
    n: int = 0
    #: The master that it rides in.
    pid: int = 0
    started: int = 0
    #: Where the bus is here, and the agent's directory there.
    port: int = 0
    runtime_dir: str = ""
    #: Where sshd forbids sockets: the loopback port there.
    remote_port: int = 0

    def is_for(self, pid: int, port: int, runtime_dir: str) -> bool:
        """Whether this very forward is what is needed."""
        mine = (self.pid, self.started, self.port, self.runtime_dir)
        return mine == (pid, start_time(pid), port, runtime_dir)


class TunnelKeeper:
    """The tunnels of all machines over ssh. One event loop; ssh is waited for in threads."""

    def __init__(
        self,
        cluster: str,
        files: ClusterFiles,
        *,
        bus_port: Callable[[], int],
        is_ready: Callable[[str], bool],
        on_death: Callable[[str], None],
    ) -> None:
        """bus_port: where the bus is on loopback, 0 = agents reach it themselves.

        is_ready: whether an agent is in session. on_death: it was found that one does not run.
        """
        self.cluster = cluster
        self.files = files
        self.bus_port = bus_port
        self.is_ready = is_ready
        self.on_death = on_death
        self._pool = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="ssh")
        self._environ = dict(os.environ)
        self._ssh: Ssh | None = None
        self._tunnels: dict[str, Tunnel] = {}

    def look(self) -> None:
        """Machines came or went: begin and end their tunnels."""
        wanted = {m.name: m.host for m in self.files.machines() if m.kind == "ssh" and m.host}
        for name in [name for name in self._tunnels if name not in wanted]:
            self._tunnels.pop(name).end()
        for name, host in wanted.items():
            known = self._tunnels.get(name)
            if known is None:
                self._tunnels[name] = Tunnel(self, name, host)
            elif known.host != host:
                known.host = host
                known.kick()

    def kick(self, name: str) -> None:
        """What is known of a machine changed, or somebody brought a key: try now."""
        if name in self._tunnels:
            self._tunnels[name].kick()
        else:
            self.look()

    def use_agent_socket(self, path: str) -> None:
        """The ssh-agent of whoever types commands now; kept in memory only."""
        if not path or self._environ.get("SSH_AUTH_SOCK") == path:
            return
        self._environ["SSH_AUTH_SOCK"] = path
        self._ssh = None
        for tunnel in self._tunnels.values():
            if tunnel.kind in ("needs-key", "denied"):
                tunnel.kick()

    def facts(self, name: str) -> dict[str, Any]:
        """How the tunnel of a machine is, for `status`."""
        tunnel = self._tunnels.get(name)
        if tunnel is None:
            return {}
        age_s = time.monotonic() - tunnel.since
        return {"tunnel": tunnel.state, "tunnel_since_s": age_s, "tunnel_why": tunnel.why}

    def is_refused(self, name: str) -> bool:
        """Whether no tunnel can be made to a machine before somebody changes its sshd."""
        tunnel = self._tunnels.get(name)
        return tunnel is not None and tunnel.kind == FORWARDING_FORBIDDEN

    def close(self) -> None:
        """Look away: connections stay, for the next head."""
        for tunnel in self._tunnels.values():
            tunnel.end()
        self._pool.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------ for tunnels

    def connection(self, host: Host) -> Connection:
        """The connection to a machine."""
        if self._ssh is None:
            self._ssh = Ssh(self.files.control_dir(), dict(self._environ))
        return self._ssh.connection(host)

    async def in_thread(self, work: Callable[[], Any]) -> Any:
        """Do what blocks."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


class Tunnel:
    """The tunnel of one machine, kept up by a task."""

    def __init__(self, keeper: TunnelKeeper, name: str, host: Host) -> None:
        self._keeper = keeper
        self.name = name
        self.host = host
        self.state: TunnelState = "idle"
        self.since = time.monotonic()
        #: Why it is not up, and what to do; `kind`: of the ConnectFailed.
        self.why = ""
        self.kind = ""
        self._kicked = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"tunnel {name}")

    def kick(self) -> None:
        """Try now."""
        # What it was refused before says nothing of this time.
        self.kind = ""
        self._kicked.set()

    def end(self) -> None:
        """Stop keeping it; the connection stays."""
        self._task.cancel()

    # ------------------------------------------------------------ the task

    async def _keep(self) -> None:
        pause_s = PAUSE_MIN_S
        while True:
            self._kicked.clear()
            record = self._keeper.files.remote(self.name)
            if record is None:
                await self._kicked.wait()
                continue
            self._become("connecting", self.why, self.kind)
            try:
                pid = await self._keeper.in_thread(lambda known=record: self._connect(known))
            except (CoveyError, OSError) as error:
                self._failed(error)
                await self._pause(pause_s * random.uniform(1, 2))
                pause_s = min(PAUSE_MAX_S, 2 * pause_s)
                continue
            pause_s = PAUSE_MIN_S
            self._become("up")
            log.info("%s: tunnel up (ssh process %d)", self.name, pid)
            await self._until_lost(pid)

    def _failed(self, error: CoveyError | OSError) -> None:
        kind, why = "", str(error)
        if isinstance(error, CoveyError):
            kind = str(error.data.get("kind") or "")
            reason, remedy = explained(error)
            why = f"{reason} — {remedy}" if remedy else reason
        if kind in ("needs-key", "denied"):
            why = f"waiting for your key: covey up {self.name}"
        elif kind == "unknown-host-key":
            why = f"its host key is not known: covey up {self.name}"
        if why != self.why:
            log.warning("%s: no tunnel: %s", self.name, error)
        self._become("waiting", why, kind)

    def _become(self, state: TunnelState, why: str = "", kind: str = "") -> None:
        if state != self.state:
            self.since = time.monotonic()
        self.state, self.why, self.kind = state, why, kind

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._kicked.wait()

    async def _until_lost(self, pid: int) -> None:
        """Return when the connection ended, or somebody says that things changed."""
        loop = asyncio.get_running_loop()
        try:
            fd = os.pidfd_open(pid)
        except OSError:
            return
        loop.add_reader(fd, self._kicked.set)
        try:
            while not self._kicked.is_set():
                is_ready = self._keeper.is_ready(self.name)
                await self._pause(LOOK_EVERY_S if is_ready or self.why else AGENT_MAX_S)
                if self._keeper.is_ready(self.name):
                    self.why = ""
                elif not self._kicked.is_set() and not await self._has_agent():
                    return
        finally:
            loop.remove_reader(fd)
            os.close(fd)

    async def _has_agent(self) -> bool:
        """Look why nothing is heard of the agent. False: it is elsewhere now, connect anew."""
        record = self._keeper.files.remote(self.name)
        connection = self._keeper.connection(self.host)
        try:
            found = await self._keeper.in_thread(
                lambda: bootstrap.look(connection, self._keeper.cluster, self.name)
            )
        except (CoveyError, OSError) as error:
            self.why = str(error)
            return True
        if found.state == "absent":
            self._keeper.on_death(self.name)
            self.why = f"its agent ended; bring it back with: covey up {self.name}"
            return True
        if self._keeper.files.remote(self.name) != record:
            # An `up` has put another in its place while we looked.
            return False
        if record is None or found.runtime_dir == record.runtime_dir:
            return True
        self._moved(record, found)
        return False

    def _moved(self, record: RemoteRecord, found: Answer) -> None:
        """It was started again: by its machine, or by an `up` that had not yet told us."""
        self._keeper.files.write_remote(self.name, record.as_found(found))

    # ------------------------------------------------------------ in a thread

    def _connect(self, record: RemoteRecord) -> int:
        """Adopt or open the connection, adopt or make the forward; the master's process id."""
        connection = self._keeper.connection(self.host)
        # Who has just adopted it knows: asking a master is an ssh process each time.
        pid = connection.open(timeout_s=OPEN_MAX_S) or connection.pid()
        port = self._keeper.bus_port()
        if pid is None:
            raise ConnectFailed(f"{self.name}: the connection was lost at once", kind="closed")
        known = self._known()
        self._end_predecessor(known, pid)
        if port == 0 or known.is_for(pid, port, record.runtime_dir):
            return pid
        if (known.pid, known.started) == (pid, start_time(pid)):
            _cancel(connection, known)
        n = known.n + 1
        made = TunnelRecord(n, pid, start_time(pid) or 0, port, record.runtime_dir)
        self._write(replace(made, pid=0))
        try:
            connection.forward_socket(_socket_path(made), port)
        except ConnectFailed as error:
            made = self._otherwise(connection, record, made, error)
        self._write(made)
        return pid

    def _otherwise(
        self,
        connection: Connection,
        record: RemoteRecord,
        wanted: TunnelRecord,
        error: ConnectFailed,
    ) -> TunnelRecord:
        """The socket could not be made: is its directory gone, or does sshd forbid sockets?"""
        if error.data.get("kind") != FORWARDING_FORBIDDEN:
            raise error
        found = bootstrap.look(connection, self._keeper.cluster, self.name)
        if found.state == "absent":
            raise BootstrapFailed(
                f"its agent ended; bring it back with: covey up {self.name}",
                machine=self.name,
                step="tunnel",
            )
        if found.runtime_dir != record.runtime_dir:
            self._moved(record, found)
        # A file of that number may be there already, left by a head that died too early.
        n = max(wanted.n, found.bus_number) + 1
        wanted = replace(wanted, n=n, runtime_dir=found.runtime_dir)
        self._write(replace(wanted, pid=0))
        try:
            connection.forward_socket(_socket_path(wanted), wanted.port)
        except ConnectFailed as again:
            if again.data.get("kind") != FORWARDING_FORBIDDEN:
                raise
            remote_port = connection.forward_port(wanted.port)
            wanted = replace(wanted, remote_port=remote_port)
            _note_port(connection, wanted)
        return wanted

    def _end_predecessor(self, known: TunnelRecord, pid: int) -> None:
        """A master whose socket was lost is no use to anybody."""
        if known.pid not in (0, pid) and start_time(known.pid) == known.started:
            with contextlib.suppress(OSError):
                os.kill(known.pid, signal.SIGTERM)

    @property
    def _path(self) -> Path:
        return self._keeper.files.machine_dir(self.name) / "tunnel.json"

    def _known(self) -> TunnelRecord:
        try:
            return TunnelRecord(**json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return TunnelRecord()

    def _write(self, record: TunnelRecord) -> None:
        write_private(self._path, json.dumps(asdict(record)) + "\n")


def _socket_path(record: TunnelRecord) -> str:
    return f"{record.runtime_dir}/bus-{record.n}.sock"


def _note_port(connection: Connection, record: TunnelRecord) -> None:
    """Tell the agent where the bus is, where a socket would have told it."""
    path = f"{record.runtime_dir}/bus-{record.n}.port"
    new, port = words([f"{path}.new"]), record.remote_port
    line = f"umask 077; echo {port} > {new} && mv {new} {words([path])}"
    done = connection.run(script(line), timeout_s=NOTE_MAX_S)
    if done.code:
        said = done.err.decode(errors="replace").strip()[-200:]
        raise ConnectFailed(f"{path} cannot be written: {said}", kind="failed")


def _cancel(connection: Connection, known: TunnelRecord) -> None:
    """End a forward that nobody needs any more; best effort, its directory may be gone."""
    with contextlib.suppress(ConnectFailed):
        if known.remote_port:
            connection.cancel_port(known.remote_port, known.port)
        else:
            connection.cancel_socket(_socket_path(known), known.port)
