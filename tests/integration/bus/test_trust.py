"""To whom a password is sent: TLS, and who owns a loopback port (protocol.md rule 36)."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from covey.bus.nats import NatsBus
from covey.errors import BusUnavailable
from covey.testing.ending import ended, line_of
from covey.testing.nats import TestServer, foreign_server
from covey.testing.waiting import COMMAND_MAX_S, happens

#: Some user that is not us.
NOBODY = 65534

#: Gives up its rights, listens, greets like a nats-server and prints what it was told.
SQUATTER = textwrap.dedent(
    """
    import os, socket, sys
    os.setuid(int(sys.argv[1]))
    with socket.create_server(("127.0.0.1", int(sys.argv[2]))) as server:
        print(server.getsockname()[1], flush=True)
        connection, _ = server.accept()
        connection.sendall(b'INFO {"max_payload":1048576,"auth_required":true}\\r\\n')
        print(repr(connection.recv(4096)), flush=True)
    """
)


@contextmanager
def _squatter(uid: int, port: int = 0) -> Generator[subprocess.Popen[str]]:
    arguments = [sys.executable, "-c", SQUATTER, str(uid), str(port)]
    with ended(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)) as squatter:
        yield squatter


@pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="needs root, to become another user"
)
@pytest.mark.parametrize(("uid", "is_told"), [(NOBODY, False), (0, True)])
async def test_a_password_goes_to_our_own_processes_only(uid: int, is_told: bool) -> None:
    with _squatter(uid) as squatter:
        port = line_of(squatter).strip()
        said = "does not answer" if is_told else rf"held by another user \(uid {uid}\)"
        with pytest.raises(BusUnavailable, match=said):
            await NatsBus.connect(
                f"nats://127.0.0.1:{port}", user="account", password="secret", is_ours=True
            )
        await happens(lambda: squatter.poll() is not None)
        heard = line_of(squatter)
    assert ("secret" in heard) is is_told


@pytest.mark.skipif(
    sys.platform != "linux" or os.getuid() != 0, reason="needs root, to become another user"
)
async def test_a_port_that_is_squatted_during_an_outage_gets_no_password(
    server: TestServer,
) -> None:
    bus = await server.connect()
    server.kill()
    await happens(lambda: not bus.is_up)
    with _squatter(NOBODY, server.process.port) as squatter:
        line_of(squatter)
        await happens(lambda: squatter.poll() is not None)  # it was connected to, and hung up on
        assert line_of(squatter) == "b''\n"
    server.start_again()
    await happens(lambda: bus.is_up)
    await bus.close()


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """A directory with an authority (ca.pem) and localhost's certificate (cert.pem, key.pem)."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    authority = ["-subj", "/CN=covey test", "-keyout", "ca.key", "-out", "ca.pem"]
    server = ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "cert.pem"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"]
    for arguments in (authority, [*server, *names, "-CA", "ca.pem", "-CAkey", "ca.key"]):
        subprocess.run(
            ["openssl", "req", "-x509", *new_key, *arguments],
            cwd=tmp_path,
            check=True,
            capture_output=True,
            timeout=COMMAND_MAX_S,
        )
    return tmp_path


@pytest.fixture
def tls_port(certificates: Path) -> Generator[int]:
    """A server that insists on TLS, as somebody else may run one."""
    config = (
        'authorization { user: "me", password: "p@ss" }\n'
        'tls { cert_file: "cert.pem", key_file: "key.pem" }\n'
    )
    with foreign_server(certificates, config) as port:
        yield port


@pytest.mark.parametrize("scheme", ["tls", "nats"])
async def test_tls_with_a_known_authority_works(
    tls_port: int, certificates: Path, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    bus = await NatsBus.connect(f"{scheme}://me:p%40ss@localhost:{tls_port}")
    heard: list[tuple[str, bytes]] = []
    await bus.listen(
        "covey.test.s.head.*",
        lambda sender, data: heard.append((sender, data)),
        lambda _peer: None,
        lambda _is_up: None,
    )
    bus.publish("covey.test.s.head.x", "", bytes(900_000))
    await happens(lambda: heard == [("x", bytes(900_000))])
    await bus.close()


async def test_tls_with_an_unknown_authority_is_refused(tls_port: int) -> None:
    with pytest.raises(BusUnavailable, match="certificate verify failed"):
        await NatsBus.connect(f"tls://me:p%40ss@localhost:{tls_port}")


async def test_tls_under_another_name_is_refused(
    tls_port: int, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    with pytest.raises(BusUnavailable, match="certificate verify failed"):
        await NatsBus.connect(f"tls://me:p%40ss@127.0.0.1:{tls_port}")
