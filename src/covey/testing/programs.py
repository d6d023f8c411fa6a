"""What the machines of the test kit are made of: programs, Pythons, keys, ports."""

import os
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from covey.testing.waiting import COMMAND_MAX_S

#: Instead of a version: a machine without any Python.
NONE = "none"
#: Below the ports that the kernel gives out by itself: a server that is down keeps its own.
_PORTS = range(20_000, 32_000)
#: Where programs of the system are.
_SYSTEM = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
#: Longest time a Python needs to say its version, on a starved machine.
_ANSWER_MAX_S = 60.0


class Unavailable(RuntimeError):
    """This computer lacks something that the test needs."""


def find_program(name: str) -> str:
    """The path of a program of the system.

    Raises:
        Unavailable: it is not installed.
    """
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM]))
    if found is None:
        raise Unavailable(f"{name} is not installed (tools/system_packages.sh)")
    return found


def find_python(version: str = "", *, for_others: bool = False) -> Path:
    """A Python of a version (`3.12`); "" = the one that runs this.

    for_others: another account must be able to run it.

    Raises:
        Unavailable: there is none.
    """
    wanted = version or f"{sys.version_info.major}.{sys.version_info.minor}"
    for path in _candidates(wanted):
        if _says_version(path) == wanted and (not for_others or _is_open(path)):
            return path
    if not version and for_others:
        # Any that covey runs on does as well.
        return find_python("3.11", for_others=True) if wanted != "3.11" else _missing(wanted)
    return _missing(wanted)


def _missing(version: str) -> Path:
    raise Unavailable(f"no Python {version} is on this computer")


def _candidates(version: str) -> Iterator[Path]:
    own = Path(sys.base_prefix)
    yield own / "bin" / f"python{version}"
    # Beside ours, as version managers lay them out: one directory for each.
    yield from sorted(own.parent.glob(f"*{version}.*/bin/python{version}"))
    for directory in _SYSTEM:
        yield Path(directory) / f"python{version}"
    if found := shutil.which(f"python{version}"):
        yield Path(found)


@cache
def _says_version(path: Path) -> str:
    try:
        done = subprocess.run(
            [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            timeout=_ANSWER_MAX_S,
            check=False,
        )
    except OSError:
        return ""
    return done.stdout.strip()


def _is_open(path: Path) -> bool:
    real = path.resolve()
    return all(parent.stat().st_mode & 0o001 for parent in [real, *real.parents])


def link_pythons(directory: Path, versions: Sequence[str], *, for_others: bool) -> None:
    """Fill a directory of PATH: python3 is the first version, each also has its own name."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755)
    for number, version in enumerate(versions or [""]):
        if version == NONE:
            continue
        python = find_python(version, for_others=for_others)
        (directory / python.name).symlink_to(python)
        if number == 0:
            (directory / "python3").symlink_to(python)


def link_tools(directory: Path) -> None:
    """A directory of PATH with every program of the system but Pythons."""
    directory.mkdir(mode=0o755)
    for folder in _SYSTEM:
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if not name.startswith(("python", "pypy")) and not (directory / name).is_symlink():
                (directory / name).symlink_to(Path(folder) / name)


def make_key(path: Path) -> None:
    """A new pair of keys without a passphrase."""
    for old in (path, path.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(
        [find_program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path],
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=COMMAND_MAX_S,
    )


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise Unavailable("no free port")
