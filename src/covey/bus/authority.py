"""The certificate authority of a cluster and its bus server's certificate, by the openssl command.

    ca.pem   the authority; machines get it through ssh and trust nothing else
    ca.key   signs; never leaves the state directory
    server.pem, server.key

Everything is 0600 in a 0700 directory. Certificates are good for ten years, and nobody looks at
their dates (`covey.bus.tls`): they end with the cluster's keys.
"""

import secrets
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from covey.bus.config import ServerTls
from covey.bus.record import write_private
from covey.bus.tls import SERVER_NAME
from covey.errors import StartFailed

#: Lifetime of both certificates.
DAYS = 3650
#: Making a key and signing take some 15 ms each.
OPENSSL_MAX_S = 30.0

_CA, _CA_KEY, _SERVER, _SERVER_KEY = "ca.pem", "ca.key", "server.pem", "server.key"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_SECTIONS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {subject}
[ca]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {names}
"""


class Authority:
    """The authority in one directory."""

    def __init__(self, directory: Path) -> None:
        self._dir = directory

    def certificate(self) -> str:
        """PEM of the authority; "" = there is none."""
        try:
            return (self._dir / _CA).read_text()
        except OSError:
            return ""

    def server_tls(self, hosts: Sequence[str], *, is_required: bool) -> ServerTls:
        """What the server is told; makes what is missing.

        Args:
            hosts: names and addresses that others may know the server by. SERVER_NAME, by which
                machines check it, and loopback are added.
            is_required: see `ServerTls`.

        Raises:
            StartFailed: openssl is missing or refuses.
        """
        names = _alternative_names([SERVER_NAME, "localhost", "127.0.0.1", *hosts])
        try:
            self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not self._has(_CA, _CA_KEY):
                self._make_authority()
                (self._dir / _SERVER).unlink(missing_ok=True)
            if not self._has(_SERVER, _SERVER_KEY) or self._names() != names:
                self._make_server(names)
        except OSError as error:
            raise _failed(f"{self._dir}: {error.strerror}") from error
        return ServerTls(self._dir / _SERVER, self._dir / _SERVER_KEY, is_required)

    # ------------------------------------------------------------ inside

    def _has(self, *names: str) -> bool:
        return all((self._dir / name).exists() for name in names)

    def _names(self) -> str:
        try:
            return (self._dir / "names").read_text()
        except OSError:
            return ""

    def _make_authority(self) -> None:
        config = self._config("covey authority", "DNS:none")
        new = ("-x509", "-extensions", "ca", "-days", str(DAYS), "-set_serial", _serial())
        self._run("req", *new, *_NEW_KEY, "-config", config, "-keyout", _CA_KEY, "-out", _CA)

    def _make_server(self, names: str) -> None:
        config, request = self._config(SERVER_NAME, names), "server.csr"
        self._run(
            *("req", "-new", *_NEW_KEY, "-config", config),
            *("-keyout", _SERVER_KEY, "-out", request),
        )
        # Not `req -x509 -CA`: only OpenSSL 3 has it.
        self._run(
            *("x509", "-req", "-in", request, "-CA", _CA, "-CAkey", _CA_KEY, "-out", _SERVER),
            *("-days", str(DAYS), "-set_serial", _serial()),
            *("-extfile", config, "-extensions", "server"),
        )
        (self._dir / request).unlink()
        write_private(self._dir / "names", names)

    def _config(self, subject: str, names: str) -> str:
        write_private(self._dir / "openssl.cnf", _SECTIONS.format(subject=subject, names=names))
        return "openssl.cnf"

    def _run(self, *arguments: str) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            raise _failed("the openssl command is missing: install the package openssl")
        try:
            done = subprocess.run(
                [openssl, *arguments],
                cwd=self._dir,
                umask=0o077,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                timeout=OPENSSL_MAX_S,
            )
        except subprocess.TimeoutExpired as error:
            raise _failed(f"openssl {arguments[0]} hangs") from error
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise _failed(f"openssl {arguments[0]} failed: {last}")


def _alternative_names(hosts: Sequence[str]) -> str:
    unique = dict.fromkeys(host for host in hosts if host)
    return ", ".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in unique)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


def _serial() -> str:
    # Positive, 16 bytes, never the same for two certificates.
    return hex(secrets.randbits(126) | 1 << 126)


def _failed(reason: str) -> StartFailed:
    return StartFailed(f"no certificate for the bus: {reason}", what="bus", reason=reason)
