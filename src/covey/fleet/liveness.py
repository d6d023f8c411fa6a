"""Whether a machine is there at all: its sshd greets. Logs in nowhere, leaves nothing behind."""

import socket
import time
from collections.abc import Iterator

from covey.errors import ConnectFailed
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh

#: An sshd that has not greeted by then is not there.
GREETING_MAX_S = 3.0
_GREETING = b"SSH-"


def greets(ssh: Ssh, host: Host) -> bool:
    """Whether sshd answers. Behind a jump host or a proxy: whether one can log in (and out)."""
    try:
        config = ssh.config(host)
        if any(config.get(key, "none") != "none" for key in ("proxyjump", "proxycommand")):
            connection = ssh.connection(host)
            connection.open(timeout_s=GREETING_MAX_S)
            connection.close()
            return True
    except ConnectFailed:
        return False
    return _greets_at(config.get("hostname", host.address), int(config.get("port", 22)))


def _greets_at(address: str, port: int) -> bool:
    until = time.monotonic() + GREETING_MAX_S
    try:
        with socket.create_connection((address, port), GREETING_MAX_S) as sock:
            # It may say other lines first (RFC 4253, 4.2).
            return any(line.startswith(_GREETING) for line in _lines(sock, until))
    except (OSError, UnicodeError):
        return False


def _lines(sock: socket.socket, until: float) -> Iterator[bytes]:
    rest = b""
    while (left_s := until - time.monotonic()) > 0 and len(rest) < 8192:
        sock.settimeout(left_s)
        data = sock.recv(1024)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from lines
