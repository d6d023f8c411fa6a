"""`[bus] listen`: machines connect to the head themselves, and nobody speaks in clear text."""

import shutil
import socket
from pathlib import Path

import pytest

from covey.bus.config import ACCOUNT_USER
from covey.client.cluster import ClusterFiles
from covey.testing.cluster import Lab
from covey.testing.programs import free_port
from covey.testing.sshd import fleet

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command"),
]


def test_agents_and_clients_speak_tls_to_the_pinned_authority_and_there_is_no_tunnel(
    lab: Lab,
) -> None:
    port = free_port()
    (lab.directory / "covey.toml").write_text(f'[bus]\nlisten = "tls://127.0.0.1:{port}"\n')
    with fleet(1) as machines:
        lab.env |= machines.env
        done = lab("up", *machines.names)
        assert done.returncode == 0, done.stderr
        try:
            done = lab("map", "echo", ":::", "a", "b")
            assert (done.returncode, sorted(done.stdout.split())) == (0, ["a", "b"]), done.stderr
            files = ClusterFiles(lab.state_dir)
            assert files.address().url == f"tls://127.0.0.1:{port}"
            remote = files.remote(machines.names[0])
            assert remote is not None
            assert not list(Path(remote.runtime_dir).glob("bus-*"))
            assert b"PONG" not in _in_clear_text(port, files.password(ACCOUNT_USER))
        finally:
            down = lab("down")
        assert down.returncode == 0, down.stderr


def _in_clear_text(port: int, password: str) -> bytes:
    """What the server answers to the right password without TLS, until it hangs up."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), 20) as bus:
        bus.settimeout(20)
        words = f'CONNECT {{"user": "{ACCOUNT_USER}", "pass": "{password}"}}\r\nPING\r\n'
        bus.sendall(words.encode())
        try:
            while part := bus.recv(4096):
                data += part
        except ConnectionResetError:
            pass
    return data
