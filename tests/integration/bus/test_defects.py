"""What nats-py 2.16 gets wrong (reliability.md §1.10), and that it does not happen on our bus.

Each defect is shown twice where that is cheap: `plain` proves on nats-py itself that the fault
schedule brings it out (when such a test fails, nats-py has been mended and `bus/` may become
simpler); the other proves our bus.
"""

# pyright: reportUnknownMemberType=false
# (nats-py is typed in part.)

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncGenerator

import nats
import pytest
import pytest_asyncio
from nats import errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from tests.integration.bus.ear import Ear

from covey.bus.stream import UNSENT_MAX_BYTES
from covey.errors import RequestTimeout
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.waiting import happens
from covey.wire.subjects import to_scheduler

SUBJECT = to_scheduler(CLUSTER, "plain", "plain")


async def _ignore(_error: Exception) -> None:
    return


@pytest_asyncio.fixture
async def plain(server: TestServer) -> AsyncGenerator[Client]:
    """nats-py as it is, reconnecting quickly."""
    client = await nats.connect(
        server.url,
        user="account",
        password=server.passwords["account"],
        error_cb=_ignore,
        reconnect_time_wait=0,
        max_reconnect_attempts=-1,
    )
    yield client
    with contextlib.suppress(Exception, asyncio.CancelledError):  # P9
        await asyncio.wait_for(client.close(), 5)


async def _passes(seconds: float) -> None:
    until = time.monotonic() + seconds
    await happens(lambda: time.monotonic() > until)


# ---------------------------------------------------------------- P1 the read loop that dies


async def test_p1_plain_a_late_pong_makes_nats_py_deaf(server: TestServer, plain: Client) -> None:
    heard: list[bytes] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.data)

    await plain.subscribe(SUBJECT, cb=hear)
    server.freeze()
    with pytest.raises(errors.TimeoutError):
        await plain.flush(timeout=0.2)  # pyright: ignore[reportArgumentType]
    server.child.send_signal(signal.SIGCONT)
    await _passes(0.3)
    await plain.publish(SUBJECT, b"hello?")
    await _passes(0.3)
    assert heard == []
    assert plain.is_connected


async def test_p1_a_late_pong_changes_nothing(server: TestServer, head: Ear, agent: Ear) -> None:
    server.freeze()
    for _ in range(3):
        with pytest.raises(RequestTimeout):
            await head.bus.flush(0.1)
    server.child.send_signal(signal.SIGCONT)
    await head.bus.flush(5)
    agent.say("head", b"hello?")
    await happens(lambda: head.heard == [("a1", b"hello?")])
    assert head.links == []


async def test_p1_a_cancelled_flush_changes_nothing(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.freeze()
    flush = asyncio.ensure_future(head.bus.flush(60))
    await asyncio.wait([flush], timeout=0.05)
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    server.child.send_signal(signal.SIGCONT)
    await head.bus.flush(5)
    agent.say("head", b"hello?")
    await happens(lambda: head.heard == [("a1", b"hello?")])


# ---------------------------------------------------------------- P2 the publish that never returns


async def test_p2_plain_a_publish_to_a_stopped_server_cannot_be_cancelled(
    server: TestServer, plain: Client
) -> None:
    server.freeze()

    async def publish() -> None:
        for _ in range(64):
            await plain.publish(SUBJECT, bytes(512 * 1024))

    task = asyncio.ensure_future(publish())
    await asyncio.wait([task], timeout=0.5)
    assert not task.done()
    task.cancel()
    await asyncio.wait([task], timeout=0.5)
    was_cancelled = task.cancelled()
    server.child.send_signal(signal.SIGCONT)
    await asyncio.wait([task], timeout=10)
    assert not was_cancelled


async def test_p2_a_publish_to_a_stopped_server_returns_at_once_and_is_bounded(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.freeze()
    began = time.monotonic()
    taken = 0
    while head.say("a1", bytes(512 * 1024)):
        taken += 1
        assert taken < 100
        await asyncio.wait([asyncio.ensure_future(_passes(0))])
    assert time.monotonic() - began < 20
    # What the kernel's socket buffers swallow (some MiB on loopback) comes on top.
    assert UNSENT_MAX_BYTES <= taken * 512 * 1024 < UNSENT_MAX_BYTES + 16 * 1024 * 1024
    server.child.send_signal(signal.SIGCONT)
    await happens(lambda: len(agent.heard) == taken, describe=lambda: (len(agent.heard), taken))
    assert head.say("a1", b"and on it goes")
    assert head.links == []


# ---------------------------------------------------------------- P3 ghosts


async def test_p3_plain_a_request_that_failed_during_an_outage_is_sent_later(
    server: TestServer, plain: Client
) -> None:
    heard: list[bytes] = []

    async def hear(msg: Msg) -> None:
        heard.append(msg.data)

    await plain.subscribe(SUBJECT, cb=hear)
    await plain.flush()
    server.kill()
    await happens(lambda: not plain.is_connected)
    with pytest.raises(errors.TimeoutError):
        await plain.request(SUBJECT, b"ghost", timeout=0.2)
    server.start_again()
    await happens(lambda: heard == [b"ghost"], describe=lambda: heard)


async def test_p3_what_was_unsent_when_the_link_broke_is_never_sent(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    server.freeze()
    while head.say("a1", b"ghost" * 50_000):
        await asyncio.wait([asyncio.ensure_future(_passes(0))])
    server.kill()
    await happens(lambda: head.links == agent.links == [False])
    assert not head.say("a1", b"ghost")
    server.start_again()
    await happens(lambda: head.links == agent.links == [False, True])
    await agent.await_audible()
    head.say("a1", b"fresh")
    await happens(lambda: agent.heard)
    await agent.bus.flush(5)
    assert agent.heard == [("head", b"fresh")]


# ---------------------------------------------------------------- P5 closed for good


async def test_p5_plain_an_error_of_the_server_ends_nats_py(plain: Client) -> None:
    assert plain._transport is not None  # pyright: ignore[reportPrivateUsage]
    plain._transport.write(b"BOGUS\r\n")  # pyright: ignore[reportPrivateUsage]
    await happens(lambda: plain.is_closed)


async def test_p5_an_error_of_the_server_costs_us_one_reconnect(head: Ear, agent: Ear) -> None:
    assert head.bus._conn is not None  # pyright: ignore[reportPrivateUsage]
    head.bus._conn._stream.write(b"BOGUS\r\n")  # pyright: ignore[reportPrivateUsage]
    await happens(lambda: head.links == [False, True], describe=lambda: head.links)
    await head.await_audible()
    agent.say("head", b"hello?")
    await happens(lambda: head.heard == [("a1", b"hello?")])


# ---------------------------------------------------------------- P9 close


async def test_p9_close_never_raises_whatever_the_socket_does(
    server: TestServer, head: Ear, agent: Ear
) -> None:
    for n in range(200):
        head.say("a1", b"%d" % n)
    server.kill()
    await asyncio.gather(head.bus.close(), agent.bus.close())
    await head.bus.close()


async def test_p9_a_cancelled_close_still_disconnects(server: TestServer, head: Ear) -> None:
    server.freeze()
    close = asyncio.ensure_future(head.bus.close())
    await asyncio.wait([close], timeout=0.05)
    close.cancel()
    with pytest.raises(asyncio.CancelledError):
        await close
    assert not head.bus.is_up
    server.child.send_signal(signal.SIGCONT)


# ---------------------------------------------------------------- P10 order and drops


async def test_p10_messages_of_one_publisher_keep_their_order_over_subjects(
    server: TestServer, head: Ear
) -> None:
    bus = await server.connect()
    senders = ("x", "y", "z")
    expected: list[tuple[str, bytes]] = []
    for n in range(30_000):
        sender = senders[n % 3]
        expected.append((sender, b"%d" % n))
        subject = to_scheduler(CLUSTER, "head", sender)
        await happens(lambda s=subject, d=expected[-1][1]: bus.publish(s, "", d))
    await happens(lambda: len(head.heard) == len(expected), describe=lambda: len(head.heard))
    assert head.heard == expected
    await bus.close()
