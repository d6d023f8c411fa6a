"""One machine over the user's own OpenSSH: one connection, and everything else through it.

The first connection is a *master* (ControlMaster): a process in a session of its own that outlives
whoever opened it. Commands and forwards ride in it, so that a task costs no ssh process and a
command no handshake. Whoever comes later (the head, the next command) adopts it by its socket.
"""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from covey.fleet.host import Host


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended on a machine."""

    code: int
    out: bytes
    err: bytes


def words(argv: Sequence[str]) -> str:
    """A shell line that is exactly these words, whatever is in them."""
    return shlex.join(argv)


def script(text: str) -> str:
    """A shell line that runs `text` with sh, whatever the login shell there is (csh, fish)."""
    return words(["exec", "sh", "-c", text]) if text else "true"


class Answers(Protocol):
    """What answers ssh's questions (`fleet.contact`): gives the environment ssh is started with."""

    def environ(self, machine: str) -> Mapping[str, str]:
        """What is added to the environment of the ssh that connects to `machine`."""
        ...


class Ssh:
    """The ssh command as this call uses it: COVEY_SSH_COMMAND, where control sockets lie."""

    def __init__(
        self, control_dir: Path, environ: Mapping[str, str], *, answers: Answers | None = None
    ) -> None:
        """control_dir: 0700, and short: a socket path is at most 90 bytes."""
        raise NotImplementedError

    def connection(self, host: Host) -> "Connection":
        """The connection to a machine; not opened yet."""
        raise NotImplementedError


class Connection:
    """One machine. Blocks: callers use threads. Every method raises ConnectFailed."""

    host: Host

    def open(
        self, *, is_interactive: bool = False, accept_new: bool = False, timeout_s: float = 30.0
    ) -> None:
        """Adopt the master that runs, or start one; returns when it is logged in.

        is_interactive: questions go to `answers` of the Ssh; else nothing is ever asked.
        accept_new: an unknown host key is taken (a changed one never).
        """
        raise NotImplementedError

    def pid(self) -> int | None:
        """The master's process id, if it is alive and answers."""
        raise NotImplementedError

    def run(self, command: str, *, stdin: bytes = b"", timeout_s: float) -> Done:
        """Run a line of the login shell there (see `words`, `script`) and gather what it wrote."""
        raise NotImplementedError

    def passthrough(self, command: str, *, tty: bool = False) -> int:
        """Run with our own stdin, stdout and stderr; its exit code. "" = a login shell."""
        raise NotImplementedError

    def pipe(self, command: str) -> "subprocess.Popen[bytes]":
        """Run with pipes at its stdin and stdout (far heads and joined machines); stderr is ours.

        It ends when the connection does. The caller closes and waits.
        """
        raise NotImplementedError

    def forward_socket(self, remote_path: str, local_port: int) -> None:
        """Listen on a unix socket there, carry it to 127.0.0.1:`local_port` here."""
        raise NotImplementedError

    def forward_port(self, local_port: int) -> int:
        """Listen on a free loopback port there, carry it here; the port there."""
        raise NotImplementedError

    def forward_from(self, local_socket: Path, remote_port: int) -> None:
        """Listen on a unix socket here, carry it to 127.0.0.1:`remote_port` there."""
        raise NotImplementedError

    def cancel_socket(self, remote_path: str, local_port: int) -> None:
        """End a `forward_socket`."""
        raise NotImplementedError

    def cancel_port(self, remote_port: int, local_port: int) -> None:
        """End a `forward_port`."""
        raise NotImplementedError

    def cancel_from(self, local_socket: Path, remote_port: int) -> None:
        """End a `forward_from`."""
        raise NotImplementedError

    def close(self) -> None:
        """End the master, with all that rides in it. No error if there is none."""
        raise NotImplementedError
