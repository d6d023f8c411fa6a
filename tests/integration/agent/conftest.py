"""Slots with a real zygote; nothing of them may be left afterwards."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest_asyncio
from tests.integration.agent.rig import Rig, no_leaks


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncGenerator[Rig]:
    """Two slots."""
    # The loop makes descriptors of its own when it is first used so.
    await asyncio.sleep(0)
    box: list[Rig] = []
    with no_leaks(tmp_path, lambda: box[0].owner):
        box.append(Rig(tmp_path))
        try:
            yield box[0]
        finally:
            await box[0].close()
            box[0].zygote.wait(10)
