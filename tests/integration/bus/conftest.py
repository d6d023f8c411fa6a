"""A real nats-server, and buses on it that are closed at the end."""

import os
from collections.abc import AsyncGenerator, Generator

import pytest
import pytest_asyncio
from tests.integration.bus.ear import Ear, listening

from covey.errors import ServerMissing
from covey.testing.nats import TestServer, running_server


@pytest.fixture
def server() -> Generator[TestServer]:
    """A server that knows the account and the agents a1 and a2."""
    try:
        with running_server("a1", "a2") as running:
            yield running
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


@pytest_asyncio.fixture
async def head(server: TestServer) -> AsyncGenerator[Ear]:
    """The head, listening."""
    async with listening(server, "head") as ear:
        yield ear


@pytest_asyncio.fixture
async def agent(server: TestServer) -> AsyncGenerator[Ear]:
    """Agent a1, listening."""
    async with listening(server, "a1") as ear:
        yield ear
