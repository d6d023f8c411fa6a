"""What passes between the ssh command and its users: command lines, answers, what came of them."""

import os
import shlex
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from covey.errors import ConnectFailed


@dataclass(frozen=True, slots=True)
class Done:
    """A command that ended."""

    code: int
    out: bytes
    err: bytes


def words(argv: Sequence[str]) -> str:
    """A shell line that is exactly these words, whatever is in them."""
    return shlex.join(argv)


def script(text: str) -> str:
    """A shell line that runs `text` with sh, whatever the login shell there is (csh, fish)."""
    return words(["exec", "sh", "-c", text])


class Answers(Protocol):
    """What answers ssh's questions (`fleet.contact`)."""

    def environ(self, machine: str) -> Mapping[str, str]:
        """What is added to the environment of the ssh that connects to `machine`."""
        ...

    def options(self) -> Mapping[str, str]:
        """What ssh may ask, as options of it."""
        ...

    def asked_s(self, machine: str) -> float:
        """How long questions about `machine` have waited for a person: that is no silence."""
        ...


def ssh_command(environ: Mapping[str, str]) -> list[str]:
    """The words of $COVEY_SSH_COMMAND, else `ssh`. Paths become absolute: a master works in `/`.

    Raises:
        ConnectFailed: it is no list of words.
    """
    given = environ.get("COVEY_SSH_COMMAND", "").strip() or "ssh"
    try:
        argv = shlex.split(given)
    except ValueError as error:
        raise ConnectFailed(
            f"COVEY_SSH_COMMAND is no list of words ({error}): {given!r}",
            machine="",
            kind="bad-config",
            reason="COVEY_SSH_COMMAND is no list of words",
            remedy="quote it as in a shell: COVEY_SSH_COMMAND='ssh -F FILE'",
        ) from error
    if "/" in argv[0]:
        argv[0] = os.path.abspath(argv[0])
    for at, word in enumerate(argv[:-1]):
        if word == "-F" and argv[at + 1] != "none":
            argv[at + 1] = os.path.abspath(os.path.expanduser(argv[at + 1]))
    return argv


def agent_is_gone(environ: Mapping[str, str]) -> bool:
    """Whether an ssh-agent is named that nobody is."""
    path = environ.get("SSH_AUTH_SOCK", "")
    if not path:
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return True
    return False


def public_key_file(config: Mapping[str, str]) -> Path | None:
    """The public half of the first key that `ssh -G` names and that is there."""
    for name in config.get("identityfile", "").splitlines():
        path = Path(f"{os.path.expanduser(name)}.pub")
        if path.is_file():
            return path
    return None
