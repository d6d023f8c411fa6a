"""A real nats-server for tests: a free port, a directory of its own, gone at the end."""

import os
import secrets
import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from covey.bus.binary import find_server
from covey.bus.config import AGENT_PREFIX, ServerConfig, ServerTls, account_user, agent_user
from covey.bus.nats import NatsBus
from covey.bus.server import ServerProcess
from covey.settings import read_settings
from covey.testing.ending import end, ended, line_of
from covey.testing.waiting import wait_until

#: Cluster name of such a server, for subjects.
CLUSTER = "test"


@dataclass(slots=True)
class TestServer:
    """A server and its credentials. `process` changes when it is started again."""

    __test__ = False  # pytest: not a test class

    binary: Path
    process: ServerProcess
    passwords: dict[str, str]
    cluster: str = CLUSTER

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.process.url

    @property
    def child(self) -> subprocess.Popen[bytes]:
        """The process, for signals."""
        assert self.process.child is not None
        return self.process.child

    def without(self, agent: str) -> ServerConfig:
        """The configuration with one agent's credential taken out."""
        config = self.process.config
        users = tuple(user for user in config.users if user.name != AGENT_PREFIX + agent)
        return replace(config, users=users)

    async def connect(self, user: str = "account", *, timeout_s: float = 5.0) -> NatsBus:
        """A bus as `account` (head, clients) or as one of the agents (by its id)."""
        name = user if user == "account" else AGENT_PREFIX + user
        return await NatsBus.connect(
            self.url,
            user=name,
            password=self.passwords[user],
            name=user,
            timeout_s=timeout_s,
            is_ours=True,
        )

    def freeze(self) -> None:
        """SIGSTOP it; returns when all of its threads stand still (SIGCONT is the caller's)."""
        self.child.send_signal(signal.SIGSTOP)
        wait_until(
            lambda: os.waitpid(self.child.pid, os.WUNTRACED | os.WNOHANG)[0],
            describe="the server stands still",
        )

    def kill(self) -> None:
        """SIGKILL it; returns when it is gone."""
        end(self.child)

    def start_again(self) -> None:
        """Start it on the same port and directory."""
        config = replace(self.process.config, port=self.process.port)
        self.process = ServerProcess.spawn(self.binary, config, is_private=False)
        self.process.wait_ready()


@contextmanager
def running_server(
    *agents: str, directory: Path | None = None, tls: ServerTls | None = None
) -> Generator[TestServer]:
    """A server with the account's credential and one for each of `agents`, stopped at the end.

    Raises:
        ServerMissing: there is no binary here (skip on a laptop, fail under CI).
    """
    with tempfile.TemporaryDirectory(prefix="covey-nats-") as temporary:
        binary = find_server(read_settings().nats_server)
        passwords = {name: secrets.token_hex(16) for name in ("account", *agents)}
        config = ServerConfig(
            cluster=CLUSTER,
            directory=directory or Path(temporary) / "bus",
            users=(
                account_user(CLUSTER, passwords["account"]),
                *(agent_user(CLUSTER, agent, passwords[agent]) for agent in agents),
            ),
            tls=tls,
        )
        process = ServerProcess.spawn(binary, config, is_private=False)
        server = TestServer(binary, process, passwords)
        try:
            process.wait_ready()
            yield server
        finally:
            server.process.stop()


@contextmanager
def foreign_server(directory: Path, config: str) -> Generator[int]:
    """The port of a server as somebody else runs it, with lines of configuration of their own.

    Raises:
        ServerMissing: there is no binary here.
    """
    path = directory / "foreign.conf"
    path.write_text(f'listen: "127.0.0.1:-1"\n{config}')
    process = subprocess.Popen(
        [find_server(read_settings().nats_server), "-c", path],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(process):
        yield _port_announced(process)


def _port_announced(process: subprocess.Popen[str]) -> int:
    port = 0
    while line := line_of(process, process.stderr):
        if "Listening for client connections on" in line:
            port = int(line.rpartition(":")[2])
        if "Server is ready" in line:
            break
    assert port, "it did not start"
    return port
