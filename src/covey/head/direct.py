"""The direct mode: `[bus] listen = "tls://HOST:PORT"`, agents connect to the head themselves.

For many machines, or where ssh forwards nothing: no tunnels. Whoever connects speaks TLS, on
loopback too, and checks the server against the cluster's own authority, which came through ssh.
"""

import contextlib
import platform
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from covey.errors import SettingsError

#: What stands for all addresses of this computer.
ANY_HOSTS = ("0.0.0.0", "::")
#: For asking the kernel by which address a machine sees us; nothing is sent there.
_SSH_PORT = 22
#: An address that is nobody's (RFC 5737): on the way to it lies our default route.
_FAR_AWAY = "192.0.2.1"


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the bus listens for everybody."""

    host: str
    port: int

    @classmethod
    def parse(cls, address: str) -> "Listen | None":
        """The `[bus] listen` of the settings; "" = None, on loopback only.

        Raises:
            SettingsError: it is no such address.
        """
        if not address:
            return None
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = None, None, None
        if parts is None or parts.scheme != "tls" or not host or not port or parts.path.strip("/"):
            raise SettingsError(
                f"[bus] listen {address!r}: write tls://ADDRESS:PORT, as in tls://0.0.0.0:4222",
                key="listen",
                value=address,
            )
        return cls(host, port)

    def names(self) -> list[str]:
        """By what others may know this computer: for the certificate."""
        own = [platform.node()]
        return own if self.host in ANY_HOSTS else [self.host, *own]

    def urls_for(self, address: str) -> str:
        """Where the machine that ssh reaches at `address` finds the bus; tried in turn."""
        if self.host not in ANY_HOSTS:
            return self._url(self.host)
        # ssh may know the machine by a name that means nothing to us.
        hosts = (own_address_towards(address), own_address_towards(_FAR_AWAY), platform.node())
        return ",".join(dict.fromkeys(self._url(host) for host in hosts if host))

    def _url(self, host: str) -> str:
        return f"tls://[{host}]:{self.port}" if ":" in host else f"tls://{host}:{self.port}"


def own_address_towards(host: str) -> str:
    """The address of this computer on the way to another; "" = no way is known."""
    with contextlib.suppress(OSError, UnicodeError):
        for family, _, _, _, peer in socket.getaddrinfo(host, _SSH_PORT, type=socket.SOCK_DGRAM):
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                # A datagram socket is only routed here: connecting sends nothing.
                probe.connect(peer)
                return str(probe.getsockname()[0])
    return ""
