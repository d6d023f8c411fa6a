"""The bus through ends of tunnels: the newest counts, and a port is not believed without TLS."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.bus.ear import Ear
from tests.integration.bus.tunnels import make_authority, tunnel

from covey.bus.forwarded import newest_number
from covey.bus.nats import NatsBus
from covey.errors import BusUnavailable
from covey.testing.nats import CLUSTER, TestServer, running_server
from covey.testing.waiting import happens
from covey.wire.subjects import inbox_of_agent

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


@pytest.fixture
def ends() -> Generator[Path]:
    """A private directory with a short path, as on a machine."""
    with tempfile.TemporaryDirectory(prefix="cv-", dir="/tmp") as directory:
        yield Path(directory)


@asynccontextmanager
async def _agent(server: TestServer, ends: Path, ca: str = "") -> AsyncGenerator[Ear]:
    """Agent a1 as on a machine: it waits for a tunnel, and follows the newest."""
    bus = await NatsBus.connect(
        f"unix://{ends}",
        user="agent-a1",
        password=server.passwords["a1"],
        is_ours=True,
        ca=ca,
        may_wait=True,
    )
    ear = Ear(bus, "a1")
    try:
        await bus.listen(inbox_of_agent(CLUSTER, "a1"), ear.on_message, ear.on_gone, ear.on_link)
        yield ear
    finally:
        await bus.close()


async def _hears(head: Ear, agent: Ear, word: bytes) -> None:
    head.say("a1", word)
    await happens(lambda: agent.heard[-1:] == [("head", word)], describe=lambda: agent.log)


async def test_an_agent_waits_for_its_first_tunnel(
    server: TestServer, head: Ear, ends: Path
) -> None:
    context = _agent(server, ends)
    waiting = asyncio.ensure_future(context.__aenter__())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.3)
    async with tunnel(ends / "bus-1.sock", server.process.port):
        agent = await waiting
        await _hears(head, agent, b"one")
        await context.__aexit__(None, None, None)


async def test_the_newest_tunnel_is_followed_and_the_files_of_dead_ones_are_removed(
    server: TestServer, head: Ear, ends: Path
) -> None:
    async with tunnel(ends / "bus-9.sock", server.process.port):
        async with _agent(server, ends) as agent:
            await _hears(head, agent, b"one")
            # 10 is newer than 9, though not by the alphabet.
            async with tunnel(ends / "bus-10.sock", server.process.port):
                for _ in range(2):
                    await _hears(head, agent, b"two")
            assert agent.links == []  # a newer one alone is no reason to leave a good one
        assert newest_number(ends) == 10
    async with tunnel(ends / "bus-11.sock", server.process.port), _agent(server, ends) as agent:
        assert sorted(os.listdir(ends)) == ["bus-11.sock"]
        async with tunnel(ends / "bus-12.sock", server.process.port):
            # The server hangs up on all: the way back is through the newest.
            server.kill()
            await happens(lambda: agent.links == [False])
            server.start_again()
            await happens(lambda: agent.links == [False, True])
            assert sorted(os.listdir(ends)) == ["bus-12.sock"]


async def test_a_lost_tunnel_is_replaced_at_once_however_long_it_was_away(
    server: TestServer, head: Ear, ends: Path
) -> None:
    async with tunnel(ends / "bus-1.sock", server.process.port):
        waiting = _agent(server, ends)
        agent = await waiting.__aenter__()
    await happens(lambda: agent.links == [False])
    async with tunnel(ends / "bus-2.sock", server.process.port):
        await happens(lambda: agent.links == [False, True])
        await agent.await_audible()
        await _hears(head, agent, b"again")
        assert not (ends / "bus-1.sock").exists()
        await waiting.__aexit__(None, None, None)


# ---------------------------------------------------------------- ports


@pytest.fixture
def guarded(tmp_path: Path) -> Generator[tuple[TestServer, str]]:
    """A server that offers TLS to whoever wants it, and its authority."""
    ca, tls = make_authority(tmp_path / "authority")
    with running_server("a1", tls=tls) as running:
        yield running, ca


def _set_port(ends: Path, number: int, port: int) -> None:
    (ends / f"bus-{number}.new").write_text(f"{port}\n")
    (ends / f"bus-{number}.new").rename(ends / f"bus-{number}.port")


async def test_a_forwarded_port_is_used_through_tls_to_the_authority_of_the_head(
    guarded: tuple[TestServer, str], ends: Path
) -> None:
    server, ca = guarded
    _set_port(ends, 1, server.process.port)
    async with _agent(server, ends, ca) as agent:
        assert agent.bus.is_up
        # Those on the head's own loopback need none, on the same port.
        plain = await server.connect()
        await plain.close()


async def test_a_port_without_an_authority_gets_no_password(
    guarded: tuple[TestServer, str], ends: Path
) -> None:
    server, _ = guarded
    _set_port(ends, 1, server.process.port)
    with pytest.raises(BusUnavailable, match="no password was sent"):
        await NatsBus.connect(f"unix://{ends}", user="agent-a1", password="secret")


@pytest.mark.parametrize(
    ("name", "said"), [("covey-bus", "certificate verify failed"), ("other", "verify failed")]
)
async def test_a_server_of_another_authority_or_name_gets_no_password(
    tmp_path: Path, guarded: tuple[TestServer, str], ends: Path, name: str, said: str
) -> None:
    _, ca = guarded
    other, tls = make_authority(tmp_path / "other", name)
    with running_server("a1", tls=tls) as squatter:
        _set_port(ends, 1, squatter.process.port)
        with pytest.raises(BusUnavailable, match=said):
            await NatsBus.connect(
                f"unix://{ends}",
                user="agent-a1",
                password="secret",
                ca=ca if name == "covey-bus" else other,
            )
        log = (squatter.process.config.directory / "nats-server.log").read_text()
        assert "authentication error" not in log


async def test_a_squatter_on_the_old_port_who_speaks_plainly_gets_no_password(
    guarded: tuple[TestServer, str], ends: Path
) -> None:
    _, ca = guarded
    heard = bytearray()
    is_over = asyncio.Event()

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"max_payload":1048576,"auth_required":true}\r\n')
        heard.extend(await reader.read(4096))
        writer.close()
        await writer.wait_closed()
        is_over.set()

    squatter = await asyncio.start_server(greet, "127.0.0.1", 0)
    _set_port(ends, 1, squatter.sockets[0].getsockname()[1])
    with pytest.raises(BusUnavailable, match="does not speak TLS"):
        await NatsBus.connect(f"unix://{ends}", user="agent-a1", password="secret", ca=ca)
    await happens(is_over.is_set)
    squatter.close()
    assert bytes(heard) == b""


async def test_a_machine_whose_clock_is_wrong_trusts_the_authority_of_its_head(
    tmp_path: Path, ends: Path
) -> None:
    """A certificate that seems to be valid no more (or not yet) is as good: the head is pinned."""
    ca, tls = make_authority(tmp_path / "authority", days=-1)
    with running_server("a1", tls=tls) as server:
        _set_port(ends, 1, server.process.port)
        async with _agent(server, ends, ca) as agent:
            assert agent.bus.is_up


async def test_a_server_that_insists_on_tls_takes_nobody_without(tmp_path: Path) -> None:
    ca, tls = make_authority(tmp_path / "authority")
    with running_server("a1", tls=replace(tls, is_required=True)) as server:
        with pytest.raises(BusUnavailable, match="verify failed"):
            await server.connect()
        address = server.url.replace("nats://", "tls://")
        password = server.passwords["account"]
        bus = await NatsBus.connect(address, user="account", password=password, ca=ca)
        assert bus.is_up
        await bus.close()
