"""A call that brought machines up ends by SIGTERM wherever it is just then."""

import asyncio
import os
import signal
import socket

import pytest

from covey.bus.loop import run_loop
from covey.cli.signals import ended_by_signals


class _Struck(asyncio.Protocol):
    """The signal comes while bytes of a connection are handled."""

    def data_received(self, data: bytes) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


async def _hear(one: socket.socket, other: socket.socket) -> None:
    transport, _ = await asyncio.get_running_loop().create_connection(_Struck, sock=one)
    try:
        other.send(b"x")
        await asyncio.Event().wait()
    finally:
        transport.abort()


def test_a_signal_that_comes_while_a_connection_is_served_ends_the_call() -> None:
    one, other = socket.socketpair()
    with one, other, pytest.raises(SystemExit) as ended, ended_by_signals():
        run_loop(_hear(one, other))
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_signal_that_comes_outside_of_a_loop_ends_the_call() -> None:
    with pytest.raises(SystemExit) as ended, ended_by_signals():
        os.kill(os.getpid(), signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM


def test_a_hangup_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
