"""What tasks wrote on machines, for whoever is asked before `down --purge --data` removes it."""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from covey.agent import outputs
from covey.agent.outputs import Held
from covey.client.cluster import ClusterFiles, files_of
from covey.errors import MachineError
from covey.fleet import archive as archives
from covey.fleet import bootstrap
from covey.fleet.contact import log_in
from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh
from covey.head.lowering import OPEN_MAX_S, DownOrder, hosts_to_stop, local_names
from covey.head.processes import STARTS_AT_ONCE
from covey.head.reason import explained
from covey.scheduler.locks import head_is_up
from covey.settings import Settings


@dataclass(frozen=True, slots=True)
class Holding:
    """What is on one machine."""

    name: str
    held: tuple[Held, ...] = ()
    #: Why nobody knows ("" = it is known).
    why: str = ""


def holdings(settings: Settings, order: DownOrder) -> list[Holding]:
    """What this `down` would remove with `is_data`, machine by machine. Changes nothing."""
    files = files_of(settings)
    here = local_names(files, order)
    with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
        held = list(pool.map(outputs.held, map(files.machine_dir, here)))
    found = [Holding(name, tuple(one)) for name, one in zip(here, held, strict=True)]
    return [*found, *_over_ssh(settings, files, order)]


def _over_ssh(settings: Settings, files: ClusterFiles, order: DownOrder) -> list[Holding]:
    hosts = hosts_to_stop(files, order)
    if not hosts:
        return []
    ssh = Ssh(files.control_dir(), os.environ, answers=order.contact)
    archive = archives.current()
    is_up = head_is_up(settings.state_dir)

    def look(host: Host) -> tuple[Held, ...]:
        connection = ssh.connection(host)
        was_open = connection.pid() is not None
        try:
            log_in(connection, order.contact, timeout_s=OPEN_MAX_S)
            return bootstrap.held(connection, settings.cluster, host.name, archive).held
        finally:
            # The one of a cluster that is up is the head's.
            if not was_open and not is_up:
                connection.close()

    results = fan_out(hosts, look, address_of=lambda host: (host.address, host.port))
    return [
        Holding(host.name, why=explained(result)[0])
        if isinstance(result, MachineError)
        else Holding(host.name, result)
        for host, result in zip(hosts, results, strict=True)
    ]
