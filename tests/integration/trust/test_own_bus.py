"""A bus that the user runs, with one credential for all: that is said, and grants are signed."""

import asyncio
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.trust.thief import NO_KEY

from covey.bus.nats import NatsBus
from covey.client.cluster import HEAD, ClusterFiles
from covey.testing.cluster import Lab
from covey.testing.nats import foreign_server
from covey.testing.waiting import wait_until
from covey.wire.codec import encode
from covey.wire.messages import Frame, Grant, Hello
from covey.wire.signing import seal
from covey.wire.subjects import to_agent

pytestmark = pytest.mark.timeout(240)

SENTENCE = "subject permissions are off"


@pytest.fixture
def url(tmp_path: Path) -> Generator[str]:
    """A server as somebody may run one: one user, no permissions."""
    with foreign_server(tmp_path, 'authorization { user: "me", password: "mine" }\n') as port:
        yield f"nats://me:mine@127.0.0.1:{port}"


def test_status_and_doctor_say_so_and_forged_grants_are_not_obeyed(lab: Lab, url: str) -> None:
    lab.env["COVEY_NATS_URL"] = url
    lab.up(machines=1)
    try:
        assert SENTENCE in lab("status").stdout
        assert SENTENCE in lab("doctor").stdout
        assert any(SENTENCE in note for note in lab.json("status")["notes"])
        space = ClusterFiles(lab.state_dir).space("default")
        assert space.startswith("default-")
        _say_forged(url, space)
        wait_until(lambda: _machine(lab)["forged"] == 2, describe=lambda: _machine(lab))
        assert lab("map", "echo", ":::", "a").returncode == 0
    finally:
        down = lab("down")
    assert down.returncode == 0, down.stderr


def _machine(lab: Lab) -> dict[str, object]:
    [machine] = lab.json("status")["machines"]
    return machine


def _say_forged(url: str, space: str) -> None:
    async def say() -> None:
        bus = await NatsBus.connect(url)
        frames = [
            Frame(b"", 0, 0, Hello(10**9, 99, "0" * 32)),
            Frame(b"", 0, 0, Grant(1, 1, 1, [1], [1])),
        ]
        for frame in frames:
            for packet in seal(encode(frame), NO_KEY, b"", 0, 512 * 1024):
                bus.publish(to_agent(space, "local1", HEAD), "", packet)
        await bus.close()

    asyncio.run(say())
