"""nats-server as a process of ours: who may start it, when it is ready, when it dies."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.bus.ear import Ear

from covey.bus.binary import find_server
from covey.bus.config import ServerConfig, account_user, agent_user
from covey.bus.record import is_running, read_record, start_time, write_record
from covey.bus.server import ServerProcess
from covey.errors import StartFailed, StateInUse
from covey.testing.ending import end, ended, line_of
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.waiting import happens, wait_until

#: Starts a server in argv[1], privately if argv[2] says so; prints its pid and url; waits for ever.
PARENT = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from covey.bus.binary import find_server
    from covey.bus.config import ServerConfig, account_user
    from covey.bus.record import write_record
    from covey.bus.server import ServerProcess

    directory = Path(sys.argv[1])
    config = ServerConfig("test", directory, (account_user("test", "secret"),))
    server = ServerProcess.spawn(find_server(), config, is_private=sys.argv[2] == "private")
    server.wait_ready()
    write_record(directory, server.record("account", directory / "password"))
    assert "asyncio" not in sys.modules and "nats" not in sys.modules
    print(server.pid, flush=True)
    input()
    """
)


def _parent(directory: Path, kind: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, str(directory), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _config(directory: Path) -> ServerConfig:
    return ServerConfig("test", directory, (account_user("test", "secret"),))


def test_a_second_server_in_the_same_directory_is_refused(server: TestServer) -> None:
    config = server.process.config
    with pytest.raises(StateInUse, match=f"process {server.process.pid}") as info:
        ServerProcess.spawn(server.binary, config, is_private=False)
    assert info.value.data == {"path": str(config.directory), "owner": str(server.process.pid)}


def test_after_a_kill_the_directory_is_free_at_once(server: TestServer) -> None:
    server.kill()
    server.start_again()
    assert server.process.is_alive


def test_everything_in_its_directory_is_ours_alone(server: TestServer) -> None:
    directory = server.process.config.directory
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "nats-server.conf").stat().st_mode & 0o777 == 0o600


def test_no_password_is_in_arguments_or_environment(server: TestServer) -> None:
    proc = Path(f"/proc/{server.process.pid}")
    if not proc.exists():
        pytest.skip("needs Linux's /proc")
    shown = (proc / "cmdline").read_bytes() + (proc / "environ").read_bytes()
    for password in server.passwords.values():
        assert password.encode() not in shown


def test_it_listens_on_one_loopback_port_and_nothing_else(server: TestServer) -> None:
    if not Path("/proc/net/tcp").exists():
        pytest.skip("needs Linux's /proc")
    inodes = {
        target.removeprefix("socket:[").removesuffix("]")
        for fd in Path(f"/proc/{server.process.pid}/fd").iterdir()
        if (target := os.readlink(fd)).startswith("socket:")
    }
    rows = [
        words
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        if (words := line.split())[9] in inodes
    ]
    assert [row[1] for row in rows] == [f"0100007F:{server.process.port:04X}"]


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_a_private_server_dies_with_its_parent(tmp_path: Path) -> None:
    with ended(_parent(tmp_path / "bus", "private")) as parent:
        pid = int(line_of(parent))
        assert start_time(pid) is not None
        end(parent)
        wait_until(lambda: start_time(pid) is None)
    ServerProcess.spawn(find_server(), _config(tmp_path / "bus"), is_private=False).stop()


@pytest.mark.skipif(sys.platform != "linux", reason="adoption needs /proc")
def test_a_server_of_its_own_session_outlives_its_parent_and_is_adopted(tmp_path: Path) -> None:
    config = _config(tmp_path / "bus")
    with ended(_parent(config.directory, "session")) as parent:
        pid = int(line_of(parent))
    with pytest.raises(StateInUse):
        ServerProcess.spawn(find_server(), config, is_private=False)
    record = read_record(config.directory)
    assert record is not None
    server = ServerProcess.adopt(config, record)
    assert server is not None
    assert (server.pid, server.url, server.is_alive) == (pid, record.url, True)
    server.stop()
    assert not is_running(record)
    assert ServerProcess.adopt(config, record) is None


def test_an_adopted_server_that_hangs_is_killed(server: TestServer, tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("adoption needs /proc")
    write_record(tmp_path, server.process.record("account", tmp_path))
    record = read_record(tmp_path)
    assert record is not None
    adopted = ServerProcess.adopt(server.process.config, record)
    assert adopted is not None
    server.freeze()
    began = time.monotonic()
    adopted.stop()
    assert 1.9 < time.monotonic() - began < 30
    assert server.child.wait(30) == -signal.SIGKILL


def test_a_config_that_the_server_refuses_is_shown(tmp_path: Path) -> None:
    config = replace(_config(tmp_path / "bus"), host="no.such.host.invalid")
    server = ServerProcess.spawn(find_server(), config, is_private=False)
    with pytest.raises(StartFailed, match=r"no\.such\.host\.invalid"):
        server.wait_ready()


def test_a_port_that_is_taken_is_shown(server: TestServer, tmp_path: Path) -> None:
    config = replace(_config(tmp_path / "bus"), port=server.process.port)
    second = ServerProcess.spawn(find_server(), config, is_private=False)
    with pytest.raises(StartFailed, match="address already in use"):
        second.wait_ready()


def test_a_program_that_is_no_server_is_shown(tmp_path: Path) -> None:
    server = ServerProcess.spawn(Path("/bin/true"), _config(tmp_path / "bus"), is_private=False)
    with pytest.raises(StartFailed, match="it ended at once"):
        server.wait_ready()


def test_a_program_that_never_gets_ready_is_stopped(tmp_path: Path) -> None:
    program = tmp_path / "sleeper"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    server = ServerProcess.spawn(program, _config(tmp_path / "bus"), is_private=False)
    with pytest.raises(StartFailed, match=r"not ready after 0\.2 s"):
        server.wait_ready(0.2)
    assert not server.is_alive


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartFailed, match="cannot work in"):
        ServerProcess.spawn(find_server(), _config(tmp_path / "file" / "bus"), is_private=False)


def test_a_missing_binary_is_said_and_the_lock_is_free_again(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(StartFailed, match="did not start from /nowhere"):
            ServerProcess.spawn(Path("/nowhere"), _config(tmp_path / "bus"), is_private=False)


def test_it_starts_in_a_moment(tmp_path: Path) -> None:
    began = time.monotonic()
    server = ServerProcess.spawn(find_server(), _config(tmp_path / "bus"), is_private=False)
    try:
        server.wait_ready()
        assert time.monotonic() - began < 10  # 10 ms here; generous for a starved machine
    finally:
        server.stop()


async def test_an_agent_is_added_to_a_running_server_and_nobody_else_notices(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    config = server.process.config
    users = (*config.users, agent_user(CLUSTER, "a3", "new"))
    server.process.reload(replace(config, users=users))
    server.passwords["a3"] = "new"
    bus = await server.connect("a3")
    await bus.close()
    head.say("a1", b"still here?")
    await happens(lambda: agent.heard)
    assert head.links == agent.links == []


def test_a_reload_that_the_server_refuses_is_said(server: TestServer) -> None:
    broken = replace(server.process.config, host="no.such.host.invalid")
    with pytest.raises(StartFailed, match="did not take a changed configuration"):
        server.process.reload(broken)
    assert server.process.is_alive
    assert server.process.config.host == "127.0.0.1"
