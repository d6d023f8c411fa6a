"""The bus of a cluster: the server that the head starts, adopts and revives, or one that runs.

A server of ours outlives the head; the next head finds it by its record, or, when the head died
before it wrote one, by the lock that the server holds (protocol.md rule 33).
"""

import asyncio
import logging
import os

from covey.bus.binary import find_server
from covey.bus.config import ACCOUNT_USER, ServerConfig, ServerTls, account_user, agent_user
from covey.bus.record import read_record, write_record
from covey.bus.server import ServerProcess
from covey.client.cluster import ClusterFiles
from covey.errors import CoveyError, StartFailed, UsageError
from covey.head.direct import Listen
from covey.settings import Settings

log = logging.getLogger(__name__)

#: A server that could not be started again is tried again after this long.
REVIVE_AFTER_S = 1.0


class BusKeeper:
    """Keeps the bus server of a cluster alive. One event loop."""

    def __init__(self, settings: Settings, files: ClusterFiles) -> None:
        self._settings = settings
        self._listen = Listen.parse(settings.bus_listen)
        self._files = files
        self._server: ServerProcess | None = None
        self._pidfd = -1
        self._is_closed = False
        self._cuts: dict[str, asyncio.TimerHandle] = {}

    def start(self) -> None:
        """Start the server or adopt the one that runs; nothing, where the user named a bus.

        Raises:
            ServerMissing, StartFailed: there is none to start, or it does not.
        """
        self._files.write_bus_url(self._settings.nats_url)
        if self._settings.nats_url:
            return
        record = read_record(self._files.bus_dir)
        # Everybody knows the port of the last one: a new server takes it again.
        port = int(record.url.rpartition(":")[2]) if record is not None else -1
        config = self._config(port)
        server = running_server(config)
        if server is not None and not server.listens_as(config):
            log.info("the bus is to listen elsewhere: its server is started anew")
            server.stop()
            server = None
        if server is None:
            server = self._spawn(config)
        else:
            self._adopt(server)
        self._server = server
        self._watch(server)

    def cut(self, machine: str, for_s: float) -> None:
        """Take a machine's credential away for `for_s` seconds.

        Raises:
            UsageError: the bus is not ours to change.
            StartFailed: the server does not take it.
        """
        if self._server is None:
            raise UsageError("this cluster uses a bus of yours: covey does not cut its connections")
        if machine in self._cuts:
            self._cuts.pop(machine).cancel()
        loop = asyncio.get_running_loop()
        self._cuts[machine] = loop.call_later(for_s, self._join, machine)
        self._reload()

    def look(self) -> None:
        """Machines came or went: they get or lose their credentials.

        Raises:
            StartFailed: the server does not take it.
        """
        server = self._server
        if server is not None and not server.is_configured_as(self._config(server.port)):
            self._reload()

    @property
    def port(self) -> int:
        """Where tunnels lead to; 0 = agents reach the bus themselves (direct, or the user's)."""
        return self._server.port if self._server is not None and self._listen is None else 0

    def close(self) -> None:
        """Look away: the server runs on."""
        self._is_closed = True
        for timer in self._cuts.values():
            timer.cancel()
        self._unwatch()

    # ------------------------------------------------------------ inside

    def _join(self, machine: str) -> None:
        del self._cuts[machine]
        try:
            self._reload()
        except CoveyError as error:
            log.error("%s stays cut off: %s", machine, error)

    def _reload(self) -> None:
        assert self._server is not None
        self._server.reload(self._config(self._server.port))

    def _adopt(self, server: ServerProcess) -> None:
        self._write_record(server)
        # Machines may have come or gone, or be cut off by a head that died.
        if not server.is_configured_as(server.config):
            try:
                server.reload(server.config)
            except CoveyError as error:
                log.error("the bus goes on with what it knew: %s", error)

    def _spawn(self, config: ServerConfig) -> ServerProcess:
        binary = find_server(self._settings.nats_server, state_dir=self._settings.state_dir)
        server = ServerProcess.spawn(binary, config, is_private=False)
        server.wait_ready()
        self._write_record(server)
        return server

    def _write_record(self, server: ServerProcess) -> None:
        password_file = self._files.password_file(ACCOUNT_USER)
        write_record(self._files.bus_dir, server.record(ACCOUNT_USER, password_file))

    def _config(self, port: int) -> ServerConfig:
        cluster = self._settings.cluster
        machines = self._files.machines()
        names = [m.name for m in machines if m.name not in self._cuts]
        listen = self._listen
        return ServerConfig(
            cluster=cluster,
            directory=self._files.bus_dir,
            users=(
                account_user(cluster, self._files.password(ACCOUNT_USER)),
                *(agent_user(cluster, name, self._files.password(name)) for name in names),
            ),
            port=listen.port if listen is not None else port,
            host=listen.host if listen is not None else "127.0.0.1",
            tls=self._tls(is_needed=any(m.kind != "local" for m in machines)),
        )

    def _tls(self, *, is_needed: bool) -> ServerTls | None:
        """Certificates: in the direct mode, and for machines whose sshd forwards ports only."""
        authority = self._files.authority()
        if self._listen is not None:
            return authority.server_tls(self._listen.names(), is_required=True)
        if not is_needed:
            return None
        try:
            return authority.server_tls([], is_required=False)
        except StartFailed as error:
            # Unix sockets, which nearly every sshd forwards, do without.
            log.warning("%s", error)
            return None

    def _watch(self, server: ServerProcess) -> None:
        try:
            self._pidfd = os.pidfd_open(server.pid)
        except ProcessLookupError:
            asyncio.get_running_loop().call_soon(self._revive)
            return
        asyncio.get_running_loop().add_reader(self._pidfd, self._died)

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _died(self) -> None:
        self._unwatch()
        if not self._is_closed:
            log.error("the bus server died; it is started again")
            self._revive()

    def _revive(self) -> None:
        if self._is_closed or self._server is None:
            return
        try:
            self._server = self._spawn(self._config(self._server.port))
        except (CoveyError, OSError) as error:
            log.error("the bus server cannot be started again: %s", error)
            asyncio.get_running_loop().call_later(REVIVE_AFTER_S, self._revive)
            return
        self._watch(self._server)


def running_server(config: ServerConfig) -> ServerProcess | None:
    """The server that runs in `config.directory`, whoever started it; None = there is none."""
    record = read_record(config.directory)
    server = ServerProcess.adopt(config, record) if record is not None else None
    return server or ServerProcess.find(config)
