"""`covey status --plain`: distsys's words, a line for each machine as its answers come."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from covey.cli.head import head_of, is_up
from covey.cli.output import has_colour, say
from covey.cli.ping import machines_of
from covey.client.cluster import files_of
from covey.errors import CoveyError, UsageError
from covey.fleet.fanout import fan_out
from covey.fleet.host import Host
from covey.fleet.inventory import read_inventory
from covey.fleet.limit import select
from covey.fleet.liveness import greets
from covey.fleet.ssh import Ssh
from covey.settings import Settings

#: Probes of a machine; all must be answered.
PROBES = 2
#: How long agents have for an answer: first a moment, so that who is quick is told at once.
PATIENCES_S = (0.2, 3.0)
_RED, _GREEN, _PLAIN = "\033[31m", "\033[32m", "\033[0m"


@dataclass(frozen=True, slots=True)
class _Client:
    name: str
    #: How it is reached without its agent; None = not at all.
    host: Host | None

    @property
    def address(self) -> str:
        return self.host.address if self.host is not None else self.name


def print_plain(settings: Settings, limit: str = "") -> int:
    """Print a line for each machine; 1 when one of them is off, else 0.

    Raises:
        UsageError: no machine is known, or the limit fits none.
    """
    say("Determining online status of clients...")
    sys.stdout.flush()
    clients = _clients(settings, limit)
    if not clients:
        raise UsageError("no machine is known — name some with: covey up HOST…")
    has_agents = is_up(settings)
    is_any_off = False
    colour = has_colour(sys.stdout)
    for client, is_on in _answers(settings, clients, has_agents=has_agents):
        word = "ON" if is_on else "OFF"
        shown = f"{_GREEN if is_on else _RED}{word}{_PLAIN}" if colour else word
        say(f"Client: {client.address}\t{shown}")
        sys.stdout.flush()
        is_any_off |= not is_on
    return int(is_any_off)


def _clients(settings: Settings, limit: str) -> list[_Client]:
    """The machines of the cluster, and behind them those of covey.toml or $COVEY_HOSTS."""
    machines = files_of(settings).machines()
    labels = {machine.name: machine.labels for machine in machines}
    clients = {machine.name: _Client(machine.name, machine.host) for machine in machines}
    for host in read_inventory().hosts:
        labels.setdefault(host.name, host.labels)
        clients.setdefault(host.name, _Client(host.name, host))
    names = select(labels.items(), limit) if limit else list(clients)
    return [clients[name] for name in names]


def _answers(
    settings: Settings, clients: Sequence[_Client], *, has_agents: bool
) -> Iterator[tuple[_Client, bool]]:
    """Each client once, as soon as it is known whether it is on."""
    left = {client.name: client for client in clients}
    if has_agents:
        for patience_s in PATIENCES_S:
            for name in _awake(settings, patience_s):
                if name in left:
                    yield left.pop(name), True
            if not left:
                return
    for client in [client for client in left.values() if client.host is None]:
        yield left.pop(client.name), False
    yield from _greeting(list(left.values()))


def _awake(settings: Settings, patience_s: float) -> list[str]:
    """Agents that answered every probe."""
    awake: set[str] | None = None
    with contextlib.suppress(CoveyError), head_of(settings) as head:
        for _ in range(PROBES):
            rows = machines_of(head.ask("ping", max_s=patience_s))
            names = {str(row["name"]) for row in rows if row.get("latency_s") is not None}
            awake = names if awake is None else awake & names
        return sorted(awake or ())
    return []


def _greeting(clients: Sequence[_Client]) -> Iterator[tuple[_Client, bool]]:
    """Who has no agent that answers is asked by its sshd."""
    came: SimpleQueue[tuple[_Client, bool]] = SimpleQueue()
    with tempfile.TemporaryDirectory(prefix="covey-") as directory:
        ssh = Ssh(Path(directory), os.environ)

        def probe(client: _Client) -> None:
            is_on = False
            try:
                is_on = client.host is not None and all(
                    greets(ssh, client.host) for _ in range(PROBES)
                )
            finally:
                came.put((client, is_on))

        def work() -> None:
            fan_out(clients, probe, address_of=lambda client: client.address)

        threading.Thread(target=work, daemon=True).start()
        for _ in clients:
            yield came.get()
