"""Another user of the head's computer, or of a machine, can neither connect nor read."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Generator
from pathlib import Path

import pytest

from covey.client.cluster import ClusterFiles
from covey.testing.cluster import Lab
from covey.testing.sshd import fleet

pytestmark = [
    pytest.mark.timeout(240),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become another user"),
]

#: Some user that is not us.
NOBODY = 65534

#: Gives up its rights and tries: every path is opened, listed or connected to; each port is spoken
#: to without and with a wrong password. Prints what it got.
STRANGER = textwrap.dedent(
    """
    import encodings.idna, json, os, socket, stat, sys
    paths, ports = json.load(sys.stdin)
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
    got = []
    for path in paths:
        try:
            mode = os.stat(path).st_mode
            if stat.S_ISSOCK(mode):
                socket.socket(socket.AF_UNIX).connect(path)
            elif stat.S_ISDIR(mode):
                os.listdir(path)
            else:
                open(path, 'rb').close()
            got.append(path)
        except OSError:
            pass
    said = []
    for port in ports:
        for user in ('', ', "user": "account", "pass": "guessed"'):
            with socket.create_connection(('127.0.0.1', port), 10) as bus:
                bus.settimeout(10)
                words = b'CONNECT {"verbose": true%s}\\r\\nSUB > 1\\r\\nPING\\r\\n'
                bus.sendall(words % user.encode())
                data = b''
                while part := bus.recv(4096):
                    data += part
            said.append(data.decode())
    print(json.dumps([got, said]))
    """
)


def strangers_view(paths: list[Path], ports: list[int]) -> tuple[list[str], list[str]]:
    """What another user could open of `paths`, and what each port said to him until it hung up."""
    done = subprocess.run(
        [sys.executable, "-c", STRANGER],
        input=json.dumps([[str(path) for path in paths], ports]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    got, said = json.loads(done.stdout)
    return got, said


@pytest.fixture
def open_lab() -> Generator[Lab]:
    """A lab in a directory that everybody may enter: what protects it is its own."""
    with tempfile.TemporaryDirectory(prefix="cv-", dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        with Lab(directory) as lab:
            yield lab


def _secrets(lab: Lab) -> list[Path]:
    """All below the state directory and the runtime directory."""
    tops = [lab.state_dir, lab.directory / "run"]
    return [path for top in tops for path in [*top.rglob("*"), top]]


def test_the_witness_sees_what_is_open(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="cv-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        (path / "open").write_text("x")
        (path / "open").chmod(0o644)
        assert strangers_view([path / "open", path], []) == ([str(path / "open"), name], [])


def test_at_the_head_nothing_can_be_read_and_the_bus_lets_nobody_in(open_lab: Lab) -> None:
    lab = open_lab
    with lab.cluster(machines=2):
        assert lab("map", "echo", ":::", "a").returncode == 0
        port = int(ClusterFiles(lab.state_dir).address().url.rpartition(":")[2])
        paths = _secrets(lab)
        names = {path.name for path in paths}
        assert {"submit", "account", "local1", "ledger.db", "bus.json"} <= names
        got, said = strangers_view(paths, [port])
        assert got == []
        for text in said:
            assert "Authorization Violation" in text
            assert "PONG" not in text


def test_on_a_machine_neither_the_bus_nor_what_lies_there_can_be_reached(open_lab: Lab) -> None:
    with fleet(1) as machines:
        lab = open_lab
        lab.env |= machines.env
        done = lab("up", *machines.names)
        assert done.returncode == 0, done.stderr
        try:
            remote = ClusterFiles(lab.state_dir).remote(machines.names[0])
            assert remote is not None
            runtime = Path(remote.runtime_dir)
            paths = [*runtime.rglob("*"), runtime]
            assert any(path.is_socket() for path in paths), paths
            cache = machines[machines.names[0]].home / ".cache" / "covey" / "default"
            records = [p for p in cache.rglob("*") if p.name in ("agent.json", "agent.log")]
            assert records
            got, _ = strangers_view([*paths, *records], [])
            assert got == []
        finally:
            done = lab("down")
        assert done.returncode == 0, done.stderr
