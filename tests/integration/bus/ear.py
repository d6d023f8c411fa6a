"""One who listens on a bus and writes down what it hears."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from covey.bus.nats import NatsBus
from covey.testing.nats import CLUSTER, TestServer
from covey.testing.waiting import WAIT_MAX_S
from covey.wire.subjects import inbox_of_agent, inbox_of_scheduler, to_agent, to_scheduler


class Ear:
    """A bus and what came over it. `log` has all of it in one order."""

    def __init__(self, bus: NatsBus, name: str) -> None:
        self.bus = bus
        self.name = name
        self.heard: list[tuple[str, bytes]] = []
        self.gone: list[str] = []
        self.links: list[bool] = []
        self.log: list[object] = []
        self.raises = False

    def on_message(self, sender: str, data: bytes) -> None:
        self.heard.append((sender, data))
        self.log.append((sender, data))
        if self.raises:
            raise RuntimeError("a handler's bug")

    def on_gone(self, peer: str) -> None:
        self.gone.append(peer)
        self.log.append(peer)

    def on_link(self, is_up: bool) -> None:
        self.links.append(is_up)
        self.log.append(is_up)

    async def await_audible(self) -> None:
        """Return when what others say reaches us. After a reconnect the link is up, and they may be
        quicker than our subscription.
        """
        await self.bus.flush(WAIT_MAX_S)

    def say(self, to: str, data: bytes) -> bool:
        """Publish to the agent or, from an agent, to the scheduler of this name."""
        if self.name == "head":
            subject, reply = to_agent(CLUSTER, to, "head"), to_scheduler(CLUSTER, "head", to)
        else:
            subject, reply = to_scheduler(CLUSTER, to, self.name), to_agent(CLUSTER, self.name, to)
        return self.bus.publish(subject, reply, data)


@asynccontextmanager
async def listening(server: TestServer, name: str) -> AsyncGenerator[Ear]:
    """An Ear for the head or an agent."""
    bus = await server.connect("account" if name == "head" else name)
    ear = Ear(bus, name)
    inbox = inbox_of_scheduler if name == "head" else inbox_of_agent
    try:
        await bus.listen(inbox(CLUSTER, name), ear.on_message, ear.on_gone, ear.on_link)
        yield ear
    finally:
        await bus.close()
