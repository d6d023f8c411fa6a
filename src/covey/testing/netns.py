"""Machines on a network of their own: namespaces joined by links that can be cut and healed.

    with network("lab1", "lab2") as net:
        with net.inside("lab1"):       # what is started here lives there
            ...
        with net.cut("lab1"):          # its link is down
            ...

Root only. The head's namespace is `head`; machine i has 10.77.i.2 and sees the head at 10.77.i.1.
Nothing of it touches the network of this computer.
"""

import ctypes
import os
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from covey.testing.programs import Unavailable, find_program

#: The namespace of the head.
HEAD = "head"
#: Longest time that `ip` or `ss` takes, on a starved machine.
COMMAND_MAX_S = 30.0
_CLONE_NEWNET = 0x40000000
#: Kept here by `ip netns add`.
_NAMED = Path("/run/netns")


class Network:
    """Namespaces, and a link from each machine to the head."""

    def __init__(self, names: tuple[str, ...]) -> None:
        """Use `network`."""
        self.names = names
        self._mark = f"cv{os.getpid()}"

    def address(self, name: str) -> str:
        """Of a machine, as the head sees it."""
        return f"10.77.{self._number(name)}.2"

    def head_address(self, name: str) -> str:
        """Of the head, as the machine sees it."""
        return f"10.77.{self._number(name)}.1"

    @contextmanager
    def inside(self, name: str) -> Generator[None]:
        """The calling thread, and what it starts meanwhile, are in this namespace."""
        before = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(_NAMED / self._space(name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(there)
            finally:
                os.close(there)
            yield
        finally:
            _enter(before)
            os.close(before)

    @contextmanager
    def cut(self, name: str) -> Generator[None]:
        """The machine's link is down inside."""
        link = f"m{self._number(name)}"
        _ip("-n", self._space(HEAD), "link", "set", link, "down")
        try:
            yield
        finally:
            _ip("-n", self._space(HEAD), "link", "set", link, "up")

    @contextmanager
    def blackhole(self, source: str, target: str) -> Generator[None]:
        """What `source` sends to `target` vanishes inside; the other way goes on."""
        machine = target if source == HEAD else source
        address = self.address(machine) if source == HEAD else self.head_address(machine)
        route = ("blackhole", f"{address}/32")
        _ip("-n", self._space(source), "route", "add", *route)
        try:
            yield
        finally:
            _ip("-n", self._space(source), "route", "del", *route)

    def listeners(self, name: str) -> list[str]:
        """ADDRESS:PORT of each TCP socket that listens in a namespace."""
        with self.inside(name):
            shown = subprocess.run(
                ["ss", "-H", "-ltn"],
                capture_output=True,
                text=True,
                check=True,
                timeout=COMMAND_MAX_S,
            ).stdout
        return [line.split()[3] for line in shown.splitlines()]

    # ------------------------------------------------------------ inside

    def make(self) -> None:
        """Namespaces and links."""
        for name in (HEAD, *self.names):
            _ip("netns", "add", self._space(name))
            _ip("-n", self._space(name), "link", "set", "lo", "up")
        for name in self.names:
            number = self._number(name)
            link, head, there = f"m{number}", self._space(HEAD), self._space(name)
            _ip("-n", head, "link", "add", link, "type", "veth", "peer", "name", "eth0",
                "netns", there)  # fmt: skip
            _ip("-n", head, "addr", "add", f"{self.head_address(name)}/30", "dev", link)
            _ip("-n", there, "addr", "add", f"{self.address(name)}/30", "dev", "eth0")
            _ip("-n", head, "link", "set", link, "up")
            _ip("-n", there, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """All of it, as far as it was made."""
        for name in (HEAD, *self.names):
            if (_NAMED / self._space(name)).exists():
                _ip("netns", "del", self._space(name))

    def _number(self, name: str) -> int:
        return self.names.index(name) + 1

    def _space(self, name: str) -> str:
        return f"{self._mark}-{name}"


@contextmanager
def network(*names: str) -> Generator[Network]:
    """A network of the head and these machines, gone at the end.

    Raises:
        Unavailable: it cannot be made here (not root, no `ip`, no namespaces): skip.
    """
    if os.getuid() != 0:
        raise Unavailable("network namespaces need root")
    find_program("ip")
    find_program("ss")
    net = Network(names)
    with ExitStack() as stack:
        stack.callback(net.remove)
        try:
            net.make()
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"no network namespaces here: {error.stderr.strip()}") from error
        yield net


def _enter(fd: int) -> None:
    # os.setns is there from Python 3.12 on.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _ip(*words: str) -> None:
    subprocess.run(
        ["ip", *words], check=True, capture_output=True, text=True, timeout=COMMAND_MAX_S
    )
