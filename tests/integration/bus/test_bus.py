"""What the port promises (covey/bus/port.py), over the real server."""

import asyncio
import logging

import pytest
from tests.integration.bus.ear import Ear, listening

from covey.bus.nats import NatsBus
from covey.errors import BusUnavailable, PayloadTooLarge, RequestTimeout
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.waiting import happens
from covey.wire.subjects import inbox_of_agent, inbox_of_scheduler, to_agent, to_scheduler


async def test_messages_arrive_once_in_order_and_say_who_sent_them(head: Ear, agent: Ear) -> None:
    for n in range(5000):
        assert head.say("a1", b"%d" % n)
    await happens(lambda: len(agent.heard) == 5000, describe=lambda: len(agent.heard))
    assert agent.heard == [("head", b"%d" % n) for n in range(5000)]


async def test_messages_of_all_sizes_arrive_whole(head: Ear, agent: Ear) -> None:
    sizes = [0, 1, 2, 100, 65536, 524288, head.bus.max_payload, 3]
    for n, size in enumerate(sizes):
        assert agent.say("head", bytes([n]) * size)
    await happens(lambda: len(head.heard) == len(sizes), describe=lambda: len(head.heard))
    assert [data for _, data in head.heard] == [bytes([n]) * size for n, size in enumerate(sizes)]


async def test_a_message_over_the_limit_is_refused_here_and_the_link_stays(
    head: Ear, agent: Ear
) -> None:
    with pytest.raises(PayloadTooLarge) as info:
        head.say("a1", b"x" * (head.bus.max_payload + 1))
    assert info.value.data == {"size_bytes": 1024 * 1024 + 1, "max_bytes": 1024 * 1024}
    head.say("a1", b"fits")
    await happens(lambda: agent.heard)
    assert head.links == []


async def test_who_does_not_listen_is_told_as_gone(head: Ear, agent: Ear) -> None:
    head.say("a2", b"anyone?")
    agent.say("elsewhere", b"anyone?")
    await happens(lambda: head.gone and agent.gone)
    assert (head.gone, agent.gone) == (["a2"], ["elsewhere"])
    assert head.heard == agent.heard == []


async def test_one_who_has_closed_is_gone_at_once(server: TestServer, head: Ear) -> None:
    for round_ in range(1, 21):
        async with listening(server, "a2"):
            pass
        head.say("a2", b"anyone?")
        await happens(lambda count=round_: head.gone == ["a2"] * count)


async def test_close_sends_what_was_published(server: TestServer, head: Ear) -> None:
    bus = await server.connect("a2")
    for n in range(1000):
        bus.publish(to_scheduler(CLUSTER, "head", "a2"), "", b"%d" % n)
    await bus.close()
    await happens(lambda: len(head.heard) == 1000, describe=lambda: len(head.heard))
    assert not bus.is_up
    assert bus.publish(to_scheduler(CLUSTER, "head", "a2"), "", b"late") is False
    await bus.close()


async def test_flush_returns_when_the_server_has_it(head: Ear, agent: Ear) -> None:
    head.say("a1", b"x")
    await head.bus.flush(5)
    await agent.bus.flush(5)
    assert agent.heard == [("head", b"x")]


async def test_a_handler_that_raises_is_logged_and_the_next_message_comes(
    head: Ear, agent: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    agent.raises = True
    head.say("a1", b"1")
    head.say("a1", b"2")
    await happens(lambda: len(agent.heard) == 2)
    assert caplog.text.count("RuntimeError: a handler's bug") == 2
    assert agent.links == []


SUBJECTS = [
    to_scheduler(CLUSTER, "head", "a2"),
    to_scheduler(CLUSTER, "head", "head"),
    to_agent(CLUSTER, "a2", "a1"),
    to_agent(CLUSTER, "a2", "head"),
    to_agent(CLUSTER, "a1", "head"),
    to_scheduler("other", "head", "a1"),
    "_INBOX.x",
    "$SYS.REQ.SERVER.PING",
]


@pytest.mark.parametrize("subject", SUBJECTS)
async def test_an_agent_speaks_under_its_own_name_only(
    head: Ear, agent: Ear, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        agent.bus.publish(subject, "", b"forged")
        agent.say("head", b"true")
        await agent.bus.flush(5)
        await happens(lambda: head.heard)
    assert head.heard == [("a1", b"true")]
    assert agent.bus.refused == 1
    assert f'Publish to "{subject}"' in caplog.text
    assert agent.links == []


@pytest.mark.parametrize(
    "inbox",
    [
        inbox_of_agent(CLUSTER, "a2"),
        inbox_of_scheduler(CLUSTER, "head"),
        f"covey.{CLUSTER}.>",
        f"covey.{CLUSTER}.a.*.*",
        ">",
        "_INBOX.>",
    ],
)
async def test_an_agent_hears_its_own_inbox_only(server: TestServer, inbox: str) -> None:
    bus = await server.connect("a1")
    ear = Ear(bus, "a1")
    with pytest.raises(BusUnavailable, match="does not let us listen"):
        await bus.listen(inbox, ear.on_message, ear.on_gone, ear.on_link)
    await bus.close()


@pytest.mark.parametrize("inbox", [inbox_of_scheduler("other", "head"), ">", "$SYS.>"])
async def test_the_account_stays_in_its_cluster(server: TestServer, inbox: str) -> None:
    bus = await server.connect()
    ear = Ear(bus, "head")
    with pytest.raises(BusUnavailable, match="does not let us listen"):
        await bus.listen(inbox, ear.on_message, ear.on_gone, ear.on_link)
    await bus.close()


@pytest.mark.parametrize(("user", "password"), [("account", "wrong"), ("agent-zz", "x"), ("", "")])
async def test_a_wrong_password_is_said_so_and_not_shown(
    server: TestServer, user: str, password: str
) -> None:
    with pytest.raises(BusUnavailable, match="refuses the user or the password") as info:
        await NatsBus.connect(server.url, user=user, password=password)
    assert server.passwords["account"] not in str(info.value)


async def test_a_credential_in_the_address_works_and_is_never_shown(server: TestServer) -> None:
    port = server.process.port
    secret = server.passwords["account"]
    bus = await NatsBus.connect(f"nats://account:{secret}@127.0.0.1:{port}")
    assert bus.is_up
    await bus.close()
    with pytest.raises(BusUnavailable) as info:
        await NatsBus.connect(f"nats://account:s%2Fcret@127.0.0.1:{port}")
    assert str(info.value).startswith(f"nats://127.0.0.1:{port} refuses the user")


async def test_an_address_where_nobody_is_gives_one_line() -> None:
    with pytest.raises(BusUnavailable) as info:
        await NatsBus.connect("nats://127.0.0.1:9")
    assert str(info.value) == (
        "nats://127.0.0.1:9 does not answer (connection refused). "
        "Check COVEY_NATS_URL, or run: covey up"
    )


@pytest.mark.parametrize("url", ["nats://", "nats://host:port", "", "nats://no.such.host.invalid"])
async def test_an_address_that_is_none_gives_one_line(url: str) -> None:
    with pytest.raises(BusUnavailable, match="Check COVEY_NATS_URL") as info:
        await NatsBus.connect(url, timeout_s=3)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    "greeting", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"INFO {\r\n", b"\0" * 70000]
)
async def test_an_address_where_another_service_is_gives_one_line(greeting: bytes) -> None:
    def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        writers.append(writer)
        if not greeting:
            writer.close()

    writers: list[asyncio.StreamWriter] = []

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(BusUnavailable, match=f"127.0.0.1:{port} (does not|is of no)") as info:
            await NatsBus.connect(f"nats://127.0.0.1:{port}", timeout_s=1)
        for writer in writers:
            writer.close()
    assert "\n" not in str(info.value)


async def test_tls_is_not_given_up_when_the_server_has_none(server: TestServer) -> None:
    with pytest.raises(BusUnavailable, match="does not speak TLS"):
        await NatsBus.connect(server.url.replace("nats://", "tls://"), user="account", password="x")


async def test_the_second_of_two_addresses_is_used_when_the_first_is_dead(
    server: TestServer,
) -> None:
    bus = await NatsBus.connect(
        f"nats://127.0.0.1:9, {server.url}",
        user="account",
        password=server.passwords["account"],
    )
    assert bus.is_up
    await bus.close()


async def test_flush_on_a_dead_link_says_so(server: TestServer, head: Ear) -> None:
    server.kill()
    await happens(lambda: not head.bus.is_up)
    with pytest.raises(RequestTimeout, match="did not confirm"):
        await head.bus.flush(1)
