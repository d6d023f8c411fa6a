"""The way to a machine in a test: a control directory of its own, closed at the end."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from covey.errors import ConnectFailed
from covey.fleet.host import Host
from covey.fleet.ssh import Answers, Connection, Ssh
from covey.testing.sshd import Fleet

#: Longest time of a command in a test, on a starved machine.
RUN_MAX_S = 50.0


def environ(lab: Fleet, **more: str) -> dict[str, str]:
    """Our environment with the lab's configuration, and no ssh-agent of the user."""
    return {k: v for k, v in os.environ.items() if k != "SSH_AUTH_SOCK"} | lab.env | more


@contextmanager
def control_dir() -> Generator[Path]:
    """Short, whatever the test's directory is called."""
    with tempfile.TemporaryDirectory(prefix="cvc-", dir="/tmp") as directory:
        yield Path(directory) / "ssh"


@contextmanager
def way(
    lab: Fleet, name: str = "lab1", *, answers: Answers | None = None, **more: str
) -> Generator[Connection]:
    """A connection that is not open yet."""
    with control_dir() as directory:
        ssh = Ssh(directory, environ(lab, **more), answers=answers)
        connection = ssh.connection(Host(name, name))
        try:
            yield connection
        finally:
            connection.close()


def kind_of(error: ConnectFailed) -> str:
    """What is wrong, as a word."""
    return str(error.data["kind"])
