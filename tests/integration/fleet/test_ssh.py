"""One connection per machine, over real sshd's: opened once, adopted, and all rides in it."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.fleets import a_fleet
from tests.integration.fleet.ways import RUN_MAX_S, control_dir, environ, kind_of, way

from covey.agent import proctree
from covey.errors import ConnectFailed
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh, script, words
from covey.testing.ending import join
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until

#: Several sshds start for each test: some seconds on a starved machine.
pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def lab() -> Generator[Fleet]:
    with a_fleet(2) as machines:
        yield machines


# ---------------------------------------------------------------- the master


def test_whoever_comes_later_adopts_the_connection(lab: Fleet):
    with way(lab) as first:
        assert first.open() is None
        pid = first.pid()
        second = Ssh(first.files.socket.parent, environ(lab)).connection(Host("lab1", "lab1"))
        assert second.open() == pid
        assert second.pid() == pid
        assert second.run("echo hello", timeout_s=RUN_MAX_S).out == b"hello\n"


def test_a_connection_outlives_the_process_that_opened_it(lab: Fleet):
    program = (
        "import os, sys; from pathlib import Path; from covey.fleet.ssh import Ssh;"
        "from covey.fleet.host import Host;"
        "c = Ssh(Path(sys.argv[1]), os.environ).connection(Host('lab1', 'lab1')); c.open();"
        "print(c.pid(), flush=True); os.kill(os.getpid(), 9)"
    )
    with control_dir() as directory:
        done = subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            env=environ(lab),
            capture_output=True,
            timeout=RUN_MAX_S,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
        heir = Ssh(directory, environ(lab)).connection(Host("lab1", "lab1"))
        try:
            assert heir.pid() == int(done.stdout)
            heir.open()
            assert heir.run("true", timeout_s=RUN_MAX_S).code == 0
        finally:
            heir.close()
        assert proctree.identify(int(done.stdout)) is None


def test_the_socket_of_a_master_that_was_killed_is_replaced(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        pid = connection.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: connection.pid() is None)
        with pytest.raises(ConnectFailed) as told:
            connection.run("true", timeout_s=RUN_MAX_S)
        assert kind_of(told.value) == "closed"
        connection.open()
        assert connection.pid() not in (None, pid)


def test_a_master_that_stands_still_is_ended_and_replaced(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        pid = connection.pid()
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        connection.open()
        assert connection.pid() not in (None, pid)
        assert proctree.identify(pid) is None


def test_closing_leaves_no_process_and_no_socket(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        pid = connection.pid()
        directory = connection.files.socket.parent
        connection.close()
        connection.close()
        assert pid is not None
        assert proctree.identify(pid) is None
        assert [path.suffix for path in directory.iterdir()] == [".lock"]


def test_two_who_open_at_once_have_one_connection(lab: Fleet):
    with control_dir() as directory:
        both = [Ssh(directory, environ(lab)).connection(Host("lab1", "lab1")) for _ in range(2)]
        threads = [threading.Thread(target=one.open) for one in both]
        for thread in threads:
            thread.start()
        join(*threads)
        try:
            assert both[0].pid() is not None
            assert both[0].pid() == both[1].pid()
        finally:
            both[0].close()


def test_forwards_and_commands_of_ssh_config_do_not_come_along(lab: Fleet, tmp_path: Path):
    taken = lab["lab1"].port
    lab.ssh_options = [
        "Host lab1",
        f"  LocalForward 127.0.0.1:{taken} 127.0.0.1:1",
        "  RemoteCommand touch ran",
        "  PermitLocalCommand yes",
        f"  LocalCommand touch {tmp_path / 'ran'}",
    ]
    lab.write_config()
    try:
        with way(lab) as connection:
            connection.open()
            assert connection.run("echo mine", timeout_s=RUN_MAX_S).out == b"mine\n"
            connection.forward_socket(f"{lab['lab1'].home}/cfg.sock", 9)
    finally:
        lab.ssh_options = []
        lab.write_config()
    assert not (lab["lab1"].home / "ran").exists()
    assert not (tmp_path / "ran").exists()


# ---------------------------------------------------------------- commands

NASTY = ["a b", "'", '"', "$HOME", "`id`", ";touch x", "new\nline", "*", "\\", "ünïcode", "", "-n"]


def test_words_arrive_byte_for_byte(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        done = connection.run(words(["printf", r"%s\0", *NASTY]), timeout_s=RUN_MAX_S)
        assert done.out.decode().split("\0")[:-1] == NASTY
    assert not (lab["lab1"].home / "x").exists()


def test_stdin_exit_code_and_both_streams_pass(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        data = bytes(range(256)) * 4096
        done = connection.run("cat; echo oops >&2; exit 7", stdin=data, timeout_s=RUN_MAX_S)
        assert (done.code, done.out, done.err) == (7, data, b"oops\n")


def test_an_exit_code_of_255_is_the_commands_own_while_the_connection_lives(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        assert connection.run(script("exit 255"), timeout_s=RUN_MAX_S).code == 255


def test_more_commands_at_once_than_sshd_takes_sessions_all_end_well(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        codes: list[int] = []

        def one() -> None:
            codes.append(connection.run("sleep 0.2", timeout_s=RUN_MAX_S).code)

        threads = [threading.Thread(target=one) for _ in range(24)]
        for thread in threads:
            thread.start()
        join(*threads)
        assert codes == [0] * 24


def test_passthrough_is_as_if_the_command_ran_here(lab: Fleet):
    program = (
        "import os, sys; from pathlib import Path; from covey.fleet.ssh import Ssh;"
        "from covey.fleet.host import Host;"
        "c = Ssh(Path(sys.argv[1]), os.environ).connection(Host('lab1', 'lab1')); c.open();"
        "code = c.passthrough('cat; echo err >&2; exit 42'); c.close(); sys.exit(code)"
    )
    with control_dir() as directory:
        done = subprocess.run(
            [sys.executable, "-c", program, str(directory)],
            env=environ(lab),
            input=b"in\0put",
            capture_output=True,
            timeout=RUN_MAX_S,
            check=False,
        )
    assert (done.returncode, done.stdout, done.stderr) == (42, b"in\0put", b"err\n")


# ---------------------------------------------------------------- forwards


def test_a_socket_there_reaches_our_port(lab: Fleet):
    with way(lab) as connection, socket.create_server(("127.0.0.1", 0)) as here:
        connection.open()
        path = f"{lab['lab1'].home}/bus-1.sock"
        connection.forward_socket(path, here.getsockname()[1])
        assert _says(here, _to_socket(path)) == b"hello"
        connection.cancel_socket(path, here.getsockname()[1])


def test_a_port_there_reaches_our_port_until_it_is_cancelled(lab: Fleet):
    with way(lab) as connection, socket.create_server(("127.0.0.1", 0)) as here:
        connection.open()
        port = connection.forward_port(here.getsockname()[1])
        assert _says(here, socket.create_connection(("127.0.0.1", port))) == b"hello"
        connection.cancel_port(port, here.getsockname()[1])
        wait_until(lambda: not _listens(port), describe="the port is closed there")


def test_a_socket_here_reaches_a_port_there(lab: Fleet):
    with way(lab) as connection, socket.create_server(("127.0.0.1", 0)) as there:
        connection.open()
        path = connection.files.socket.parent / "to.sock"
        connection.forward_from(path, there.getsockname()[1])
        assert _says(there, _to_socket(str(path))) == b"hello"
        connection.cancel_from(path, there.getsockname()[1])
        assert not path.exists()


def test_a_stale_socket_of_an_earlier_connection_makes_the_forward_fail(lab: Fleet):
    """Which is why each connection uses a number of its own."""
    with way(lab) as connection, socket.create_server(("127.0.0.1", 0)) as here:
        port = here.getsockname()[1]
        path = f"{lab['lab1'].home}/stale.sock"
        connection.open()
        connection.forward_socket(path, port)
        pid = connection.pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: connection.pid() is None)
        connection.open()
        with pytest.raises(ConnectFailed) as told:
            connection.forward_socket(path, port)
        assert kind_of(told.value) == "forwarding-forbidden"
        connection.forward_socket(f"{lab['lab1'].home}/fresh.sock", port)


# ---------------------------------------------------------------- inside


def _to_socket(path: str) -> socket.socket:
    link = socket.socket(socket.AF_UNIX)
    link.connect(path)
    return link


def _says(server: socket.socket, client: socket.socket) -> bytes:
    """What arrives at one end when the other says hello."""
    server.settimeout(RUN_MAX_S)
    client.settimeout(RUN_MAX_S)
    with client:
        other, _ = server.accept()
        with other:
            other.sendall(b"hello")
            return client.recv(5)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
