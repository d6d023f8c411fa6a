"""The link goes down and comes up again; nothing else does."""

import asyncio
import signal
import threading
import time

import pytest
from tests.integration.bus.ear import Ear

from covey.bus import conn as conn_module
from covey.testing.ending import join
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.waiting import happens, wait_until
from covey.wire.subjects import to_agent


async def _both_up(head: Ear, agent: Ear) -> None:
    ears = (head, agent)
    await happens(
        lambda: all(ear.links[-1:] == [True] for ear in ears),
        describe=lambda: [ear.links for ear in ears],
    )
    for ear in ears:
        await ear.await_audible()


async def test_a_killed_and_restarted_server_is_found_again(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.kill()
    await happens(lambda: head.links == agent.links == [False])
    assert not head.bus.is_up
    assert head.say("a1", b"while down") is False
    server.start_again()
    await _both_up(head, agent)
    assert head.bus.is_up
    head.say("a1", b"to")
    agent.say("head", b"fro")
    await happens(lambda: head.heard and agent.heard)
    assert agent.heard == [("head", b"to")]
    assert head.heard == [("a1", b"fro")]


async def test_the_link_is_told_up_before_anything_is_heard_on_it(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    for round_ in range(5):
        server.kill()
        await happens(lambda: not head.bus.is_up and not agent.bus.is_up)
        server.start_again()
        first = b"%d" % round_
        await happens(lambda first=first: head.say("a1", first), describe="published")
        await _both_up(head, agent)
        head.say("a1", b"last")
        await happens(lambda: agent.heard and agent.heard[-1][1] == b"last")
        down = max(at for at, what in enumerate(agent.log) if what is False)
        assert agent.log[down + 1] is True
        agent.log.clear()
        agent.heard.clear()
    assert head.links == [False, True] * 5


async def test_what_is_published_when_the_link_comes_up_arrives(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    """The subscription is in force before anything that on_link publishes can be answered."""
    agent_on_link = agent.on_link

    def hello(is_up: bool) -> None:
        agent_on_link(is_up)
        if is_up:
            assert agent.say("a1-itself", b"nobody is there")

    agent.bus._on_link = hello  # pyright: ignore[reportPrivateUsage]
    server.kill()
    server.start_again()
    await happens(lambda: agent.gone == ["a1-itself"], describe=lambda: agent.log)


async def test_a_server_stopped_for_a_second_is_not_a_lost_link(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.freeze()
    until = time.monotonic() + 1
    await happens(lambda: time.monotonic() > until)
    head.say("a1", b"meanwhile")
    server.child.send_signal(signal.SIGCONT)
    await happens(lambda: agent.heard == [("head", b"meanwhile")])
    assert head.links == agent.links == []


async def test_a_server_stopped_for_eight_seconds_is_left_and_found_again(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    stopped_at = time.monotonic()
    server.freeze()
    await happens(lambda: head.links == agent.links == [False], describe=lambda: head.links)
    assert time.monotonic() - stopped_at > 5
    until = time.monotonic() + 2
    await happens(lambda: time.monotonic() > until)
    assert head.links == [False]
    server.child.send_signal(signal.SIGCONT)
    await _both_up(head, agent)
    head.say("a1", b"again")
    await happens(lambda: agent.heard == [("head", b"again")])


async def test_our_own_standstill_is_not_taken_for_the_servers(
    server: TestServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conn_module, "SILENCE_MAX_S", 2.0)
    monkeypatch.setattr(conn_module, "ECHO_AFTER_S", 0.5)
    monkeypatch.setattr(conn_module, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(conn_module, "STALL_S", 0.2)
    bus = await server.connect()
    for _ in range(2):
        wake_at = time.monotonic() + 2.6
        wait_until(lambda at=wake_at: time.monotonic() > at)  # the loop stands still
        await bus.flush(5)
    assert bus.is_up
    assert bus.reconnects == 0
    await bus.close()


async def test_too_slow_a_reader_loses_messages_but_not_the_bus(
    server: TestServer, agent: Ear
) -> None:
    """The server hangs up on who leaves over 32 MiB unread."""
    messages, size = 240, 512 * 1024

    async def flood() -> None:
        bus = await server.connect()
        for _ in range(messages):
            await happens(lambda: bus.publish(to_agent(CLUSTER, "a1", "head"), "", bytes(size)))
        await bus.flush(20)
        await bus.close()

    thread = threading.Thread(target=lambda: asyncio.run(flood()))
    thread.start()
    join(thread)  # the agent's loop stands still meanwhile
    await happens(lambda: agent.links == [False, True], describe=lambda: agent.links)
    assert len(agent.heard) < messages
    assert all(len(data) == size for _, data in agent.heard)
    agent.say("a1-itself", b"still here")
    await happens(lambda: agent.gone == ["a1-itself"])


async def test_a_credential_taken_away_and_given_back(server: TestServer, agent: Ear) -> None:
    """P5: nats-py closes for good on any -ERR but two."""
    whole = server.process.config
    server.process.reload(server.without("a1"))
    await happens(lambda: agent.links == [False], describe=lambda: agent.links)
    server.process.reload(whole)
    await happens(lambda: agent.links == [False, True], describe=lambda: agent.links)
    agent.say("a1-itself", b"still here")
    await happens(lambda: agent.gone == ["a1-itself"])


async def test_close_during_an_outage_returns_at_once(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.kill()
    await head.bus.close()  # before anyone noticed
    await happens(lambda: agent.links == [False])
    began = time.monotonic()
    await agent.bus.close()  # between two attempts
    assert time.monotonic() - began < 20


async def test_close_of_a_stopped_server_takes_a_second(server: TestServer, head: Ear) -> None:
    server.freeze()
    began = time.monotonic()
    await head.bus.close()
    assert time.monotonic() - began < 20
    server.child.send_signal(signal.SIGCONT)
