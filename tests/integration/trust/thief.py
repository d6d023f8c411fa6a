"""Somebody with stolen credentials: hears what they let him hear, says what he wants."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from covey.bus.config import ACCOUNT_USER, AGENT_PREFIX
from covey.bus.nats import NatsBus
from covey.client.cluster import ClusterFiles
from covey.testing.cluster import Lab
from covey.testing.waiting import happens
from covey.wire.codec import decode, encode
from covey.wire.messages import Frame
from covey.wire.signing import seal, session_of
from covey.wire.subjects import inbox_of_agent, inbox_of_scheduler

#: The cluster of a `Lab`, in subjects.
SPACE = "default"
#: What a thief signs with, who has no key.
NO_KEY = b"guessed".ljust(32, b".")
PACKET_MAX = 512 * 1024
#: Before it, a packet has its kind, its session and its signature.
CONTENT_AT = 1 + 16 + 32


class Thief:
    """A connection with somebody else's credential, and all that came over it."""

    def __init__(self, bus: NatsBus) -> None:
        self.bus = bus
        self.heard: list[tuple[str, bytes]] = []

    def hear(self, sender: str, data: bytes) -> None:
        """Something came."""
        self.heard.append((sender, data))

    def from_(self, sender: str) -> list[bytes]:
        """Packets of one sender, in order."""
        return [data for name, data in self.heard if name == sender]

    async def say(self, subject: str, packets: Iterable[bytes]) -> int:
        """Publish packets as they are; returns how many."""
        count = 0
        for packet in packets:
            self.bus.publish(subject, "", packet)
            count += 1
        await self.bus.flush(5)
        return count


@asynccontextmanager
async def thief(lab: Lab, user: str = ACCOUNT_USER, ear: str = "") -> AsyncGenerator[Thief]:
    """Connected with the password of the account, or of an agent (by its name).

    ear: the agent, or `head`, whose inbox is overheard ("" = nobody's).
    """
    files = ClusterFiles(lab.state_dir)
    name = user if user == ACCOUNT_USER else AGENT_PREFIX + user
    url = files.address().url
    bus = await NatsBus.connect(url, user=name, password=files.password(user), name="thief")
    found = Thief(bus)
    try:
        if ear:
            inbox = inbox_of_scheduler if ear == "head" else inbox_of_agent
            await bus.listen(inbox(SPACE, ear), found.hear, _ignore, _ignore)
        yield found
    finally:
        await bus.close()


def _ignore(_: object) -> None:
    return


def forged(frames: Iterable[Frame], key: bytes = NO_KEY) -> list[bytes]:
    """Frames as packets that are signed with a key of the thief's."""
    return [
        packet
        for frame in frames
        for packet in seal(encode(frame), key, frame.session, frame.seq, PACKET_MAX)
    ]


def sessions(packets: Iterable[bytes]) -> list[bytes]:
    """The sessions that packets claim, in order of their first one."""
    return list(dict.fromkeys(filter(None, map(session_of, packets))))


def numbered(packets: Iterable[bytes]) -> int:
    """How many are a frame with a number: those that count when they are said again."""
    whole = (packet for packet in packets if packet[:1] == b"\0")
    return sum(decode(packet[CONTENT_AT:]).seq > 0 for packet in whole)


async def run(lab: Lab, *words: str) -> Any:
    """A command, while our own connections are served."""
    done = await asyncio.to_thread(lab, *words)
    assert done.returncode == 0, f"{words}: {done.stderr}"
    return done


async def status(lab: Lab, name: str = "") -> dict[str, Any]:
    """What `covey status` says of the cluster, or of one machine."""
    answer = await asyncio.to_thread(lab.json, "status")
    if not name:
        return answer
    return next(machine for machine in answer["machines"] if machine["name"] == name)


async def counted(lab: Lab, name: str, what: str, least: int) -> None:
    """Wait until `status` has counted so many of `what` (forged, stale); name "" = at the head."""
    seen: list[int] = []

    async def look() -> bool:
        seen.append(int((await status(lab, name))[what]))
        return seen[-1] >= least

    for _ in range(60):
        if await look():
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{what} at {name or 'head'}: {seen[-3:]}, at least {least} wanted")


__all__ = [
    "SPACE",
    "Thief",
    "counted",
    "forged",
    "happens",
    "numbered",
    "run",
    "sessions",
    "status",
    "thief",
]
