"""Every way in which a machine does not let us in has a sentence and a remedy: on real sshd's."""

import contextlib
import socket
import threading
from collections.abc import Generator

import pytest
from tests.fleets import a_fleet
from tests.integration.fleet.ways import RUN_MAX_S, control_dir, environ, kind_of, way

from covey.errors import ConnectFailed
from covey.fleet.host import Host
from covey.fleet.ssh import Ssh
from covey.testing.ending import join
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until


@pytest.fixture
def lab() -> Generator[Fleet]:
    with a_fleet(1) as machines:
        yield machines


def refused(lab: Fleet, *, timeout_s: float = RUN_MAX_S, **more: str) -> ConnectFailed:
    """The error of an attempt to open."""
    with way(lab, answers=None, **more) as connection, pytest.raises(ConnectFailed) as told:
        connection.open(timeout_s=timeout_s)
    return told.value


def test_an_unknown_host_key_is_not_taken_unless_that_is_asked_for(lab: Fleet):
    lab["lab1"].forget_host_key()
    error = refused(lab)
    assert kind_of(error) == "unknown-host-key"
    assert "covey up lab1" in str(error)
    assert lab["lab1"].host_key not in lab.known_hosts.read_text()
    with way(lab) as connection:
        connection.open(accept_new=True)
    assert lab["lab1"].host_key in lab.known_hosts.read_text()
    with way(lab) as connection:
        connection.open()


@pytest.mark.parametrize("accept_new", [False, True])
def test_a_changed_host_key_is_never_taken(lab: Fleet, accept_new: bool):
    lab["lab1"].change_host_key()
    with way(lab) as connection, pytest.raises(ConnectFailed) as told:
        connection.open(accept_new=accept_new)
    assert kind_of(told.value) == "host-key-changed"
    assert "ssh-keygen" in told.value.data["remedy"]
    assert f"[127.0.0.1]:{lab['lab1'].port}" in told.value.data["remedy"]


def test_a_configuration_that_skips_host_keys_is_overruled(lab: Fleet):
    lab.ssh_options = ["Host *", "  StrictHostKeyChecking no"]
    lab["lab1"].forget_host_key()
    lab.write_config()
    assert kind_of(refused(lab)) == "unknown-host-key"
    assert lab["lab1"].host_key not in lab.known_hosts.read_text()


def test_a_key_that_is_not_let_in_is_said_with_what_to_do(lab: Fleet):
    (lab["lab1"].directory / "authorized_keys").unlink()
    error = refused(lab)
    assert kind_of(error) == "denied"
    assert "authorized_keys" in error.data["remedy"]


def test_a_machine_that_takes_passwords_is_told_apart(lab: Fleet):
    (lab["lab1"].directory / "authorized_keys").unlink()
    lab["lab1"].restart(PasswordAuthentication="yes")
    assert "--ask-password lab1" in refused(lab).data["remedy"]


def test_an_ssh_agent_that_is_gone_is_named(lab: Fleet):
    (lab["lab1"].directory / "authorized_keys").unlink()
    error = refused(lab, SSH_AUTH_SOCK="/nowhere/agent.sock")
    assert kind_of(error) == "needs-key"
    assert "SSH_AUTH_SOCK" in error.data["reason"]
    assert error.data["remedy"] == "waiting for your key: covey up lab1"


def test_nobody_listens(lab: Fleet):
    port = lab["lab1"].port
    lab["lab1"].kill()
    error = refused(lab)
    assert kind_of(error) == "refused"
    assert f"127.0.0.1 port {port}" in str(error)


def test_a_name_that_nobody_knows(lab: Fleet):
    lab.ssh_options = ["Host lab1", "  HostName no-such-machine.invalid"]
    lab.write_config()
    error = refused(lab)
    assert kind_of(error) == "unresolved"
    assert "no-such-machine.invalid" in str(error)


def test_an_sshd_that_hangs_costs_no_more_than_the_limit(lab: Fleet):
    with lab["lab1"].frozen():
        error = refused(lab, timeout_s=1.0)
    assert kind_of(error) == "timeout"
    assert "within 1 s" in str(error)


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_machine_that_hangs_while_a_command_runs_is_noticed_by_ssh_itself(lab: Fleet):
    with way(lab) as connection:
        connection.open()
        assert connection.run("true", timeout_s=RUN_MAX_S).code == 0
        with lab["lab1"].frozen():
            # Three unanswered questions, five seconds apart.
            wait_until(
                lambda: connection.pid() is None,
                describe="the master gives up",
                timeout_s=RUN_MAX_S,
            )


def test_an_sshd_that_is_full_is_tried_again(lab: Fleet):
    lab["lab1"].restart(MaxStartups="1:100:1")
    with way(lab) as connection:
        hog = socket.create_connection(("127.0.0.1", lab["lab1"].port))
        wait_until(lambda: "Connection from" in lab["lab1"].log(), describe=lab["lab1"].log)
        # It lets go when ssh was turned away for the first time.
        freed = threading.Thread(target=_free, args=(hog, lab))
        freed.start()
        connection.open(timeout_s=RUN_MAX_S)
        join(freed)
        assert connection.pid() is not None
        assert connection.closed_count >= 1


def _free(hog: socket.socket, lab: Fleet) -> None:
    wait_until(
        lambda: "beginning MaxStartups throttling" in lab["lab1"].log(),
        describe=lab["lab1"].log,
        timeout_s=RUN_MAX_S,
    )
    hog.close()


@pytest.mark.parametrize("is_tcp_too", [False, True])
def test_forwarding_that_is_forbidden_is_said_and_the_connection_stays(
    lab: Fleet, is_tcp_too: bool
):
    more = {"AllowTcpForwarding": "no"} if is_tcp_too else {}
    lab["lab1"].restart(AllowStreamLocalForwarding="no", **more)
    with way(lab) as connection:
        connection.open()
        with pytest.raises(ConnectFailed) as told:
            connection.forward_socket(f"{lab['lab1'].home}/bus.sock", 9)
        assert kind_of(told.value) == "forwarding-forbidden"
        assert "AllowStreamLocalForwarding" in told.value.data["remedy"]
        if is_tcp_too:
            with pytest.raises(ConnectFailed, match="refuses to forward"):
                connection.forward_port(9)
        else:
            assert connection.forward_port(9) > 0
        assert connection.run("true", timeout_s=RUN_MAX_S).code == 0


def test_a_banner_and_noisy_start_up_files_are_no_failure(lab: Fleet):
    banner = lab["lab1"].directory / "banner"
    banner.write_text("Permission denied (publickey).\nHost key verification failed.\n")
    (lab["lab1"].home / ".bashrc").write_text("echo Welcome!; echo oops >&2\n")
    lab["lab1"].restart(Banner=str(banner))
    with way(lab) as connection:
        connection.open()
        done = connection.run("echo answer", timeout_s=RUN_MAX_S)
        assert (done.code, done.out.splitlines()[-1]) == (0, b"answer")


def test_a_machine_that_answers_garbage_is_no_sshd():
    with a_fleet(1) as lab, socket.create_server(("127.0.0.1", 0)) as liar:
        lab["lab1"].reached_at = liar.getsockname()[1]
        lab.write_config()
        stop = threading.Event()
        thread = threading.Thread(target=_talk_nonsense, args=(liar, stop))
        thread.start()
        try:
            error = refused(lab)
        finally:
            stop.set()
            socket.create_connection(liar.getsockname()).close()
            join(thread)
    assert kind_of(error) in ("closed", "failed")
    assert "covey doctor lab1" in str(error) or "ssh lab1 true" in str(error)


def _talk_nonsense(server: socket.socket, stop: threading.Event) -> None:
    while not stop.is_set():
        link, _ = server.accept()
        # Whoever has heard enough hangs up.
        with link, contextlib.suppress(ConnectionError):
            link.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"\xff" * 70_000)


def test_a_configuration_with_a_slip_is_said_with_its_place(lab: Fleet):
    lab.ssh_options = ["Hots lab1"]
    lab.write_config()
    error = refused(lab)
    assert kind_of(error) == "bad-config"
    assert "hots" in str(error).lower()


def test_no_ssh_at_all_is_said(lab: Fleet):
    error = refused(lab, COVEY_SSH_COMMAND="/no/such/ssh")
    assert kind_of(error) == "no-ssh"


@pytest.mark.parametrize(
    "name", ["-oProxyCommand=touch${IFS}x", "a;touch x", "a\nb", "$(touch x)", "'", "`x`"]
)
def test_a_name_never_reaches_a_shell_or_the_options(lab: Fleet, name: str):
    with control_dir() as directory:
        odd = Ssh(directory, environ(lab)).connection(Host("odd", name, where="hosts.txt:3"))
        with pytest.raises(ConnectFailed) as told:
            odd.open(timeout_s=RUN_MAX_S)
    assert kind_of(told.value) in ("bad-name", "unresolved", "failed")
