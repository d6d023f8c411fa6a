"""What nats-server is told: the text of its configuration, by reliability.md §1.11. Pure.

Everything it knows comes out of this text; no password is ever an argument or an environment
variable.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

from covey.settings import MESSAGE_MAX_BYTES
from covey.wire.subjects import permissions_of_agent, permissions_of_head

#: One message; covey cuts its own at settings.MESSAGE_MAX_BYTES, the rest is for envelopes.
PAYLOAD_MAX_BYTES = 1024 * 1024
#: User name of the account's credential (head and clients). Agents are AGENT_PREFIX + their id.
ACCOUNT_USER = "account"
AGENT_PREFIX = "agent-"
#: A handshake over a slow link takes that long at most, in seconds.
TLS_HANDSHAKE_MAX_S = 5
#: The server's log: so large, and one older one.
LOG_MAX_BYTES = 4 * 1024 * 1024

assert MESSAGE_MAX_BYTES < PAYLOAD_MAX_BYTES


@dataclass(frozen=True, slots=True)
class User:
    """A credential, with lists of what it may do; nothing else is allowed."""

    name: str
    password: str = field(repr=False)
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The server's certificate and key, PEM files."""

    certificate: Path
    key: Path
    #: No connection without it. Else a client may choose: those who come through a forwarded port
    #: insist on it, those on our own loopback need none.
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """What a server of ours is told. Paths are absolute."""

    cluster: str
    #: 0700; holds configuration, log and ports file.
    directory: Path
    users: tuple[User, ...]
    #: -1: any free one, chosen by the kernel at bind.
    port: int = -1
    host: str = "127.0.0.1"
    #: JetStream's directory; None = no JetStream.
    store: Path | None = None
    tls: ServerTls | None = None

    def url(self, port: int) -> str:
        """Where processes of this computer find it, if it listens on `port`."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        scheme = "tls" if self.tls is not None and self.tls.is_required else "nats"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def text(self) -> str:
        """The configuration file."""
        lines = [
            "# Written by covey at every start: changes are lost.",
            f"server_name: {_quoted(f'covey-{self.cluster}')}",
            f"host: {_quoted(self.host)}, port: {self.port}",
            f"ports_file_dir: {_quoted(str(self.directory))}",
            f"log_file: {_quoted(str(log_of(self.directory)))}",
            f"logfile_size_limit: {LOG_MAX_BYTES}",
            "logfile_max_num: 2",
            f"max_payload: {PAYLOAD_MAX_BYTES}",
            "max_connections: 4096",
            "max_subscriptions: 200000",
            "max_control_line: 4KB",
            'ping_interval: "5s"',
            "ping_max: 2",
            'write_deadline: "5s"',
            "max_pending: 32MB",
            'lame_duck_duration: "30s"',
            'lame_duck_grace_period: "5s"',
        ]
        # Said always: it cannot be changed by a reload, TLS itself can be added and taken away.
        is_mixed = self.tls is None or not self.tls.is_required
        lines.append(f"allow_non_tls: {str(is_mixed).lower()}")
        if self.store is not None:
            store = _quoted(str(self.store))
            lines += ["jetstream {", f"  store_dir: {store}", "  sync_interval: always", "}"]
        lines += ["authorization {", "  users: ["]
        for user in self.users:
            lines += [f"    {line}" for line in _user(user)]
        lines += ["  ]", "}"]
        if self.tls is not None:
            lines += _tls(self.tls)
        return "\n".join([*lines, ""])


def account_user(cluster: str, password: str) -> User:
    """The credential in the state directory: the head and all clients of the account."""
    return _as_user(ACCOUNT_USER, password, permissions_of_head(cluster))


def agent_user(cluster: str, agent: str, password: str) -> User:
    """The credential of one agent: speaks under its own name, hears what is meant for it."""
    return _as_user(AGENT_PREFIX + agent, password, permissions_of_agent(cluster, agent))


def log_of(directory: Path) -> Path:
    """Where a server that runs in `directory` writes its log."""
    return directory / "nats-server.log"


def _as_user(name: str, password: str, allowed: dict[str, list[str]]) -> User:
    return User(name, password, tuple(allowed["publish"]), tuple(allowed["subscribe"]))


def _user(user: User) -> list[str]:
    return [
        "{",
        f"  user: {_quoted(user.name)}, password: {_quoted(user.password)}",
        "  permissions {",
        f"    publish {{ allow: [{', '.join(map(_quoted, user.publish))}] }}",
        f"    subscribe {{ allow: [{', '.join(map(_quoted, user.subscribe))}] }}",
        "  }",
        "}",
    ]


def _tls(tls: ServerTls) -> list[str]:
    return [
        "tls {",
        f"  cert_file: {_quoted(str(tls.certificate))}, key_file: {_quoted(str(tls.key))}",
        f"  timeout: {TLS_HANDSHAKE_MAX_S}",
        "}",
    ]


def _quoted(text: str) -> str:
    # Their strings are JSON's, so far as printable text goes; \u is not theirs.
    if not text.isprintable():
        raise ValueError(f"{text!r} cannot stand in the configuration of nats-server")
    return json.dumps(text, ensure_ascii=False)
