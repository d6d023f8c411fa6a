"""A machine of the test kit, a bus, and what is needed to bring an agent there."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from covey.agent.machine import Answer, MachineOrder
from covey.fleet import bootstrap
from covey.fleet.archive import Archive
from covey.fleet.probe import Probe, probe
from covey.fleet.ssh import Connection
from covey.testing.machine import Machine
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until


@dataclass
class Site:
    """A machine, a bus, and what is needed to bring an agent there."""

    lab: Fleet
    machine: Machine
    connection: Connection
    server: TestServer
    archive: Archive
    order: MachineOrder
    tunnels: int = 0

    def probe(self) -> Probe:
        return probe(self.connection, CLUSTER)

    def start(self, order: MachineOrder | None = None, archive: Archive | None = None) -> Answer:
        found, archive = self.probe(), archive or self.archive
        bootstrap.send_archive(self.connection, found, archive)
        return bootstrap.start(self.connection, found, archive, order or self.order)

    def stop(self) -> Answer:
        return bootstrap.stop(self.connection, CLUSTER, self.order.agent)

    def look(self) -> Answer:
        return bootstrap.look(self.connection, CLUSTER, self.order.agent)

    def purge(self) -> Answer:
        return bootstrap.purge(self.connection, CLUSTER, self.order.agent, self.archive)

    def forward(self, agent: Answer) -> Path:
        """A new tunnel; where it ends."""
        self.tunnels += 1
        end = Path(agent.runtime_dir) / f"bus-{self.tunnels}.sock"
        self.connection.forward_socket(str(end), self.server.process.port)
        return end

    def await_met(self, count: int = 1) -> None:
        """Return when so many connections to the bus are open."""
        wait_until(lambda: _connections(self.server.process.port) == count)


def _connections(port: int) -> int:
    """Open connections that a server on this loopback port has."""
    rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
    words = [row.split() for row in rows]
    return sum(1 for w in words if w[1].endswith(f":{port:04X}") and w[3] == "01")


def order_for(server: TestServer, agent: str) -> MachineOrder:
    password = server.passwords[agent]
    return MachineOrder(CLUSTER, CLUSTER, agent, secrets.token_hex(32), f"agent-{agent}", password)
