"""Real OpenSSH servers: several machines on one computer, each with its own port, host key, home.

    with fleet(3, pythons=["3.11", "3.12", "none"]) as lab:
        run covey with lab.env; the machines are lab1, lab2, lab3
        lab["lab2"].kill()

As they are told apart by what sshd gives their sessions, all machines belong to the account that
runs the test; `users=True` (root only) gives each a real account of its own instead. Nothing reads
or writes ~/.ssh: the client's configuration, key and known_hosts are in the fleet's directory.
"""

import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from covey.agent import proctree
from covey.testing.accounts import add_user, remove_user, set_password
from covey.testing.machine import START_MAX_S, Machine, Place
from covey.testing.programs import Unavailable, find_program, link_tools, make_key

#: What ends on a machine takes no longer than this to be gone.
_ROUNDS_MAX = 10

_ENTER = """#!/bin/sh
cd "$HOME" || exit 1
[ -n "${SSH_ORIGINAL_COMMAND+x}" ] || exec "$SHELL" -l
line=$SSH_ORIGINAL_COMMAND
unset SSH_ORIGINAL_COMMAND
# The login shell has read its start-up files already.
SHLVL=2
export SHLVL
exec "$SHELL" -c "$line"
"""


class Fleet:
    """The machines, and the client's side: what `ssh` is to read instead of ~/.ssh."""

    def __init__(self, directory: Path) -> None:
        """Use `fleet`."""
        self.directory = directory
        self.machines: dict[str, Machine] = {}
        self.client = directory / "client"
        self.key = self.client / "id_ed25519"
        self.known_hosts = self.client / "known_hosts"
        #: Further lines of ssh_config, before all others.
        self.ssh_options: list[str] = []

    def __getitem__(self, name: str) -> Machine:
        return self.machines[name]

    @property
    def names(self) -> list[str]:
        """What ssh calls the machines."""
        return list(self.machines)

    @property
    def env(self) -> dict[str, str]:
        """What makes covey use this client configuration."""
        return {"COVEY_SSH_COMMAND": f"ssh -F {self.client / 'config'}"}

    def ssh(self, name: str, *argv: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """A bare ssh, as a person types it."""
        return subprocess.run(
            [
                find_program("ssh"),
                "-F",
                str(self.client / "config"),
                "-o",
                "BatchMode=yes",
                name,
                *argv,
            ],
            input=stdin,
            capture_output=True,
            timeout=START_MAX_S,
            check=False,
        )

    def forget(self, machine: Machine) -> None:
        """Take its host key out of known_hosts."""
        gone = {f"[127.0.0.1]:{port}" for port in (machine.port, machine.reached_at)}
        lines = self.known_hosts.read_text().splitlines(keepends=True)
        self.known_hosts.write_text("".join(ln for ln in lines if ln.split()[0] not in gone))

    def write_config(self) -> None:
        """Write ssh_config and known_hosts again."""
        lines = list(self.ssh_options)
        for machine in self.machines.values():
            lines += [
                f"Host {machine.name}",
                "  HostName 127.0.0.1",
                f"  Port {machine.reached_at}",
                f"  User {machine.user}",
            ]
        lines += [
            "Host *",
            f"  IdentityFile {self.key}",
            "  IdentitiesOnly yes",
            f"  UserKnownHostsFile {self.known_hosts}",
            "  GlobalKnownHostsFile /dev/null",
        ]
        (self.client / "config").write_text("\n".join(lines) + "\n")
        known = self._known()
        self.known_hosts.write_text("".join(f"{host} {key}\n" for host, key in known.items()))

    def _known(self) -> dict[str, str]:
        text = self.known_hosts.read_text() if self.known_hosts.exists() else ""
        known = dict(line.split(" ", 1) for line in text.splitlines())
        for machine in self.machines.values():
            for port in {machine.port, machine.reached_at}:
                host = f"[127.0.0.1]:{port}"
                # What is known of a port stays known: a changed key is to be noticed.
                if machine.is_known:
                    known.setdefault(host, machine.host_key)
        return known


@contextmanager
def fleet(
    count: int = 1,
    *,
    pythons: Sequence[str] = (),
    users: bool = False,
    shared_home: bool = False,
    password: str = "",
    options: Mapping[str, str] | None = None,
) -> Generator[Fleet]:
    """`count` machines lab1, lab2 … up inside; all that they hold is gone at the end.

    Args:
        count: how many.
        pythons: python3 of each (`3.12`; several: `3.9 3.12`; `none`); "" or left out: ours.
        users: each is a real account of this computer (root only).
        shared_home: all have one home, as with NFS.
        password: the only way in (accounts of their own; no key is let in).
        options: keywords of sshd_config.

    Raises:
        Unavailable: something needed is not on this computer (skip; under CI fail).
    """
    find_program("sshd")
    # Short, whatever TMPDIR is: sockets below it have short paths.
    directory = Path(tempfile.mkdtemp(prefix="cv-", dir="/tmp"))
    directory.chmod(0o711)
    lab = Fleet(directory)
    try:
        _prepare(lab)
        for number in range(1, count + 1):
            version = pythons[number - 1] if number <= len(pythons) else ""
            machine = _make_machine(lab, f"lab{number}", bool(users or password), shared_home)
            machine.options |= options or {}
            if password:
                machine.options["PasswordAuthentication"] = "yes"
                set_password(machine.user, password)
            else:
                shutil.copy(lab.key.with_suffix(".pub"), machine.directory / "authorized_keys")
            machine.set_pythons(*version.split())
            machine.start()
        yield lab
    finally:
        _end(lab)


def _prepare(lab: Fleet) -> None:
    lab.client.mkdir(mode=0o700)
    link_tools(lab.directory / "tools")
    enter = lab.directory / "enter"
    enter.write_text(_ENTER)
    enter.chmod(0o755)
    make_key(lab.key)
    if os.geteuid() == 0:
        # Debian makes it when the service starts; there is no service here.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


def _make_machine(lab: Fleet, name: str, has_account: bool, shared_home: bool) -> Machine:
    first = next(iter(lab.machines.values()), None) if shared_home else None
    directory = lab.directory / name
    home = first.home if first else directory / "home"
    for folder in (directory, home, directory / "tmp"):
        folder.mkdir(mode=0o755, exist_ok=True)
    own_user = first.user if first else getpass.getuser()
    user = add_user(home) if has_account and not first else own_user
    if has_account:
        shutil.chown(directory / "tmp", user)
    place = Place(directory, home, lab.directory / "enter", lab.directory / "tools")
    machine = Machine(name, place, user, lab)
    make_key(directory / "host_key")
    lab.machines[name] = machine
    return machine


def _end(lab: Fleet) -> None:
    for machine in lab.machines.values():
        machine.kill()
    for _ in range(_ROUNDS_MAX):
        left = [pid for machine in lab.machines.values() for pid in machine.processes()]
        proctree.end_all([one for pid in left if (one := proctree.identify(pid))], grace_s=0)
    for user in {machine.user for machine in lab.machines.values()} - {getpass.getuser()}:
        remove_user(user)
    shutil.rmtree(lab.directory, ignore_errors=True)


__all__ = ["Fleet", "Machine", "Unavailable", "fleet"]
