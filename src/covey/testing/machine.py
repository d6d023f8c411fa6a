"""One machine of the test kit: a real sshd on loopback, and the home it lets people into."""

import os
import signal
import subprocess
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from covey.agent import proctree
from covey.agent.proctree import Process
from covey.testing.ending import end
from covey.testing.programs import find_program, free_port, link_pythons, make_key
from covey.testing.waiting import wait_until

#: An sshd that does not listen by then does not start.
START_MAX_S = 30.0
#: How often a port that was free a moment ago may be taken before that is a fault.
_PORTS_MAX = 5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a machine lies on this computer."""

    #: Its own directory: configuration, log, PATH, /tmp.
    directory: Path
    home: Path
    #: The program that enters the home (ForceCommand).
    enter: Path
    #: Every program but Pythons.
    tools: Path


class Clients(Protocol):
    """Those who are told how a machine is reached."""

    def write_config(self) -> None:
        """A machine listens elsewhere."""
        ...

    def forget(self, machine: "Machine") -> None:
        """Take its host key out of known_hosts."""
        ...


class Machine:
    """An sshd, and the home it lets people into."""

    def __init__(self, name: str, place: Place, user: str, clients: Clients) -> None:
        """Use `fleet`."""
        self.name = name
        self.place = place
        self.directory = place.directory
        self.home = place.home
        self.tmp = self.directory / "tmp"
        self.user = user
        self.port = 0
        #: The port that clients are told: another one when a proxy stands before it.
        self.reached_at = 0
        #: Keywords of sshd_config that are not as usual.
        self.options: dict[str, str] = {}
        #: Whether known_hosts is given its host key when it starts.
        self.is_known = True
        self._clients = clients
        self._process: subprocess.Popen[bytes] | None = None
        self._host_key = self.directory / "host_key"

    # ------------------------------------------------------------ the server

    def start(self) -> None:
        """Start sshd; on the port that it had, if it had one."""
        for _ in range(_PORTS_MAX):
            self.port = self.port or free_port()
            if self._listens():
                break
            self.port = 0
        assert self.port, f"{self.name}: sshd does not start: {self.log()[-2000:]}"
        if not self.reached_at:
            self.reached_at = self.port
        self._clients.write_config()

    def _listens(self) -> bool:
        self._write_config()
        before = len(self.log())
        with (self.directory / "sshd.log").open("ab") as log:
            process = subprocess.Popen(
                [find_program("sshd"), "-D", "-e", "-f", str(self.directory / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                start_new_session=True,
            )
        wait_until(
            lambda: "Server listening on" in self.log()[before:] or process.poll() is not None,
            describe=self.log,
            timeout_s=START_MAX_S,
        )
        if process.poll() is not None:
            return False
        self._process = process
        return True

    def servers(self) -> list[Process]:
        """The sshd that listens and those of its connections; parents first."""
        if self._process is None or self._process.poll() is not None:
            return []
        found = [self._process.pid, *proctree.descendants(self._process.pid)]
        named = (proctree.identify(pid) for pid in found if _name(pid).startswith("sshd"))
        return [process for process in named if process is not None]

    def kill(self) -> None:
        """SIGKILL sshd and its connections. What runs detached on the machine runs on."""
        servers = self.servers()
        proctree.signal_all([one.pid for one in servers], signal.SIGKILL)
        if self._process is not None:
            end(self._process)
            self._process = None
        wait_until(lambda: not any(proctree.identify(one.pid) == one for one in servers))

    def restart(self, **options: str) -> None:
        """Stop and start on the same port, with keywords of sshd_config set (`""`: as usual)."""
        self.kill()
        self.options |= options
        self.options = {key: value for key, value in self.options.items() if value}
        self.start()

    @contextmanager
    def frozen(self) -> Generator[None]:
        """It accepts connections and says nothing more: SIGSTOP inside."""
        servers = self.servers()
        proctree.signal_all([one.pid for one in servers], signal.SIGSTOP)
        try:
            yield
        finally:
            proctree.signal_all([one.pid for one in servers], signal.SIGCONT)

    def change_host_key(self) -> None:
        """Another host key than the one in known_hosts."""
        self._host_key.unlink(missing_ok=True)
        make_key(self._host_key)
        self.restart()

    def forget_host_key(self) -> None:
        """Its host key is not in known_hosts: as before the first connection."""
        self.is_known = False
        self._clients.forget(self)

    def reach_by(self, port: int) -> None:
        """Tell clients another port: of a proxy before it."""
        self.reached_at = port
        self._clients.write_config()

    def log(self) -> str:
        """What sshd wrote."""
        with suppress(FileNotFoundError):
            return (self.directory / "sshd.log").read_text(errors="replace")
        return ""

    @property
    def host_key(self) -> str:
        """Its public host key: type and key, as in known_hosts."""
        return " ".join(self._host_key.with_suffix(".pub").read_text().split()[:2])

    # ------------------------------------------------------------ what is on it

    def processes(self) -> list[int]:
        """What runs there now: by environment, working directory, or account."""
        mark = os.fsencode(f"{self.directory}/")
        uid = os.stat(self.home).st_uid
        found: list[int] = []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            is_here = _is_marked(pid, mark) or (uid != os.getuid() and _uid(pid) == uid)
            if is_here and pid != os.getpid() and not _name(pid).startswith("sshd"):
                found += [pid] if proctree.identify(pid) else []
        return found

    def files(self) -> list[str]:
        """`find`: every path below its home and its /tmp, relative to the machine."""
        # Not rglob: a directory may go while it is looked into.
        return sorted(
            os.path.relpath(os.path.join(at, name), self.directory)
            for below in (self.home, self.tmp)
            for at, directories, files in os.walk(below)
            for name in (*directories, *files)
        )

    def set_pythons(self, *versions: str) -> None:
        """Which Pythons its PATH holds; the first is python3. "none" = not one."""
        link_pythons(self.directory / "bin", versions, for_others=self._is_of_others)

    @property
    def _is_of_others(self) -> bool:
        return os.stat(self.home).st_uid != os.getuid()

    def _write_config(self) -> None:
        search = f"{self.directory / 'bin'}:{self.place.tools}"
        environment = f"HOME={self.home} PATH={search} TMPDIR={self.tmp}"
        let_in = self.directory / "authorized_keys"
        usual = {
            "StrictModes": "no",
            "UsePAM": "no",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "yes",
            "AuthorizedKeysFile": f"{let_in} {self.home}/.ssh/authorized_keys",
            "PrintMotd": "no",
            "PrintLastLog": "no",
            "UseDNS": "no",
            "LogLevel": "VERBOSE",
        }
        lines = [
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            f"HostKey {self._host_key}",
            "PidFile none",
            f"SetEnv {environment}",
            f"ForceCommand {self.place.enter}",
            *(f"{keyword} {value}" for keyword, value in (usual | self.options).items()),
        ]
        (self.directory / "sshd_config").write_text("\n".join(lines) + "\n")


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _uid(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return -1


def _is_marked(pid: int, mark: bytes) -> bool:
    try:
        if mark in os.fsencode(os.readlink(f"/proc/{pid}/cwd") + "/"):
            return True
        return mark in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
