"""ssh over a bad network: slow, stalled, reset, cut on one side. By the proxy of the test kit."""

import socket
import threading
from collections.abc import Generator

import pytest
from tests.fleets import a_fleet
from tests.integration.fleet.ways import RUN_MAX_S, kind_of, way

from covey.errors import ConnectFailed
from covey.testing.ending import join
from covey.testing.proxy import Link, proxy_to
from covey.testing.sshd import Fleet
from covey.testing.waiting import wait_until


@pytest.fixture(scope="module")
def lab() -> Generator[Fleet]:
    with a_fleet(1) as machines:
        yield machines


@pytest.fixture
def link(lab: Fleet) -> Generator[Link]:
    machine = lab["lab1"]
    with proxy_to(machine.port) as between:
        machine.reach_by(between.port)
        yield between
    machine.reach_by(machine.port)


def test_the_proxy_passes_everything_in_order_and_both_ends(link: Link):
    data = bytes(range(256)) * 8192
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        proxy_to(server.getsockname()[1]) as between,
    ):
        between.jitter_s = 0.01
        client = socket.create_connection(("127.0.0.1", between.port))
        server.settimeout(RUN_MAX_S)
        other, _ = server.accept()
        with client, other:
            sender = threading.Thread(target=_send, args=(client, data))
            sender.start()
            assert _read_all(other) == data
            join(sender)
            other.sendall(b"got it")
            other.shutdown(socket.SHUT_WR)
            assert _read_all(client) == b"got it"


def test_a_slow_network_is_waited_for(lab: Fleet, link: Link):
    link.delay_s, link.jitter_s = 0.05, 0.05
    with way(lab) as connection:
        connection.open(timeout_s=RUN_MAX_S)
        data = b"x" * 300_000
        assert connection.run("cat", stdin=data, timeout_s=RUN_MAX_S).out == data
    assert link.count == 1


@pytest.mark.parametrize("ways", [(), ("from",)], ids=["both ways", "one side only"])
def test_a_network_that_stands_still_is_given_up_within_the_limit(
    lab: Fleet, link: Link, ways: tuple[str, ...]
):
    link.stall(*ways)
    with way(lab) as connection, pytest.raises(ConnectFailed) as told:
        connection.open(timeout_s=1.0)
    assert kind_of(told.value) == "timeout"


def test_a_stall_that_ends_is_survived_by_what_runs(lab: Fleet, link: Link):
    with way(lab) as connection:
        connection.open()
        answers: list[bytes] = []
        link.stall()
        thread = threading.Thread(
            target=lambda: answers.append(connection.run("echo on", timeout_s=RUN_MAX_S).out)
        )
        thread.start()
        assert answers == []
        link.go_on()
        join(thread)
        assert answers == [b"on\n"]


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_connection_cut_without_a_word_ends_by_itself(lab: Fleet, link: Link):
    with way(lab) as connection:
        connection.open()
        link.stall()
        wait_until(
            lambda: connection.pid() is None,
            describe="the master gives up after three unanswered questions",
            timeout_s=RUN_MAX_S,
        )


def test_a_reset_is_noticed_at_once_and_the_next_open_is_fresh(lab: Fleet, link: Link):
    with way(lab) as connection:
        connection.open()
        link.reset()
        wait_until(lambda: connection.pid() is None)
        connection.open()
        assert connection.run("echo again", timeout_s=RUN_MAX_S).out == b"again\n"
    assert link.count == 2


def _send(link: socket.socket, data: bytes) -> None:
    link.sendall(data)
    link.shutdown(socket.SHUT_WR)


def _read_all(link: socket.socket) -> bytes:
    link.settimeout(RUN_MAX_S)
    parts: list[bytes] = []
    while part := link.recv(65536):
        parts.append(part)
    return b"".join(parts)
