"""What an agent is told when it is started: one JSON line on its lifeline or standard input.

Keys and passwords come this way and never in arguments or the environment.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

#: An order longer than this is none.
ORDER_MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class BusOrder:
    """The bus that runs already."""

    #: `nats://HOST:PORT`, `tls://HOST:PORT` (checked against `ca`), or `unix:///DIRECTORY`: the
    #: newest `bus-<n>.sock` in it, or where a `bus-<n>.port` says (protocol.md rule 36).
    url: str
    user: str
    password: str
    #: covey started it on a loopback port of this machine (`NatsBus.connect`).
    is_ours: bool = True
    #: PEM of the only authority whose certificate counts, for TLS ("" = the system's).
    ca: str = ""


@dataclass(frozen=True, slots=True)
class ServerOrder:
    """A nats-server to start as a child, for a private run."""

    binary: str
    #: Password of the account (client), and of the agent.
    password: str
    agent_password: str
    #: -1: a free one.
    port: int = -1
    #: Other agents that come to it: (name, password).
    guests: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class StartOrder:
    """Who the agent is, where it works, and how it reaches the bus (one of `bus`, `server`)."""

    cluster: str
    agent: str
    #: HMAC key in hex.
    key: str
    #: 128 random bits in hex: who owns the processes (`COVEY_OWNER`) of this start.
    incarnation: str
    slots: int
    slots_from: str
    workdir: str
    runtime_dir: str
    bus: BusOrder | None = None
    server: ServerOrder | None = None
    #: A part of this computer (private run, virtual machine): tasks of a caller here find the
    #: caller's directory and environment. False: a machine of its own, reached by ssh.
    is_here: bool = True
    #: Where scripts are kept that were sent to be run; "" = below `workdir`.
    cache_dir: str = ""
    #: The bus need not be there yet; whoever started us is told at once that we live.
    may_wait: bool = False
    #: Inherited descriptor on which that is said (0 = standard output).
    say_fd: int = 0
    #: After so long without the bus the agent ends (0 = never).
    without_bus_s: float = 0.0
    #: Our `agent.json`, removed at our end ("" = somebody else sees to it).
    record: str = ""
    #: Where our standard error goes, to be kept short ("" = somebody else sees to it).
    log: str = ""
    #: Inherited descriptors that hold locks (runtime directory, private run): open while we live.
    lock_fds: tuple[int, ...] = ()


def order_to_line(order: StartOrder) -> bytes:
    """The line that says it."""
    return json.dumps(asdict(order)).encode() + b"\n"


def order_from_line(line: bytes) -> StartOrder:
    """The order in a line.

    Raises:
        ValueError, TypeError, KeyError: it is none.
    """
    plain: dict[str, Any] = json.loads(line)
    bus, server = plain.pop("bus"), plain.pop("server")
    lock_fds = tuple(plain.pop("lock_fds"))
    return StartOrder(
        **plain,
        lock_fds=lock_fds,
        bus=BusOrder(**bus) if bus else None,
        server=_server(server) if server else None,
    )


def _server(plain: dict[str, Any]) -> ServerOrder:
    guests = tuple((name, password) for name, password in plain.pop("guests", ()))
    return ServerOrder(**plain, guests=guests)
