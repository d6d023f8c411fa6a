"""Where ssh forwards the bus to, on a machine: the newest `bus-<n>.*` in a private directory.

    bus-7.sock   a unix socket, which only our account can reach
    bus-8.port   holds the number of a loopback port, where the machine's sshd forwards no sockets.
                 Anybody there can connect to it, or listen on it once the tunnel is gone: a
                 password goes through TLS to the head's authority only (protocol.md rule 36).

Each new tunnel has a higher number, since ssh cannot replace the file of a dead one.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

#: How the address of such a directory begins.
SCHEME = "unix://"

_NAME = re.compile(r"bus-(\d{1,18})\.(sock|port)\Z")


@dataclass(frozen=True, slots=True)
class Forwarded:
    """One end of a tunnel. It may be dead."""

    number: int
    path: Path
    #: 0 for a unix socket.
    port: int = 0


def directory_of(url: str) -> Path | None:
    """The directory of an address; None: it is none of these."""
    return Path(url.removeprefix(SCHEME)) if url.startswith(SCHEME) else None


def newest_number(directory: Path) -> int:
    """The number of the newest end there; 0 = none."""
    return max(_numbers(directory), default=0)


def newest(directory: Path) -> Forwarded:
    """The newest end in a directory; removes the others.

    Raises:
        FileNotFoundError: there is none (yet).
        OSError, ValueError: it cannot be read.
    """
    names = _numbers(directory)
    if not names:
        raise FileNotFoundError(f"no tunnel leads to {directory}")
    last = max(names)
    for number, name in names.items():
        if number != last:
            (directory / name).unlink(missing_ok=True)
    path = directory / names[last]
    port = int(path.read_text()) if path.suffix == ".port" else 0
    return Forwarded(last, path, port)


def _numbers(directory: Path) -> dict[int, str]:
    try:
        found = [_NAME.match(name) for name in os.listdir(directory)]
    except OSError:
        return {}
    return {int(match[1]): match[0] for match in found if match}
