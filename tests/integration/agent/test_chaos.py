"""Children and the zygote killed at random: every task has one outcome, and losses are known."""

import asyncio
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.agent.rig import Rig, call, command, encode_command, function

from covey.model.task import OutcomeState

TASKS = 2000
CHUNK = 20


def appender() -> Callable[[str, int], int]:
    """A function that travels by value: nothing has to be imported before it can run."""

    def append(path: str, number: int) -> int:
        # Appends of this size are whole.
        with open(path, "ab", buffering=0) as file:
            file.write(b"%d\n" % number)
        return number

    return append


async def disturb(rig: Rig, killed: list[int]) -> None:
    """Kills children at random, and once the zygote."""
    rng = random.Random(7)
    while True:
        await asyncio.sleep(rng.uniform(0.001, 0.04))
        if victims := [pid for slot in (1, 2) if (pid := rig.slots.read_pid(slot))]:
            killed.append(rng.choice(victims))
            os.kill(killed[-1], signal.SIGKILL)
            if len(killed) == 5:
                rig.zygote.kill()


@pytest.mark.parametrize("kind", ["callable", "command"])
async def test_every_task_ends_once_while_children_are_killed(
    rig: Rig, tmp_path: Path, kind: str
) -> None:
    log = tmp_path / "log"
    context = function(appender()) if kind == "callable" else command(f"echo {{}} >> {log}")
    total = TASKS if kind == "callable" else TASKS // 5
    pending = list(range(1, total + 1))
    outcomes: dict[int, OutcomeState] = {}
    killed: list[int] = []

    async def work(slot: int) -> None:
        while pending:
            chunk, pending[:CHUNK] = pending[:CHUNK], []
            if kind == "callable":
                payloads = [call(str(log), number) for number in chunk]
            else:
                payloads = [encode_command([b"%d" % number]) for number in chunk]
            done = await rig.run(context, payloads, slot=slot)
            assert len(done.states) == len(chunk)
            for number, state in zip(chunk, done.states, strict=True):
                if state is OutcomeState.RETURNED:
                    pending.append(number)
                else:
                    assert number not in outcomes
                    outcomes[number] = state

    disturber = asyncio.create_task(disturb(rig, killed))
    await asyncio.gather(work(1), work(2))
    disturber.cancel()

    assert sorted(outcomes) == list(range(1, total + 1))
    crashed = [n for n, state in outcomes.items() if state is OutcomeState.CRASHED]
    assert set(outcomes.values()) <= {OutcomeState.SUCCEEDED, OutcomeState.CRASHED}
    assert len(crashed) <= len(killed) + 2
    assert killed
    # What is told as a success did happen.
    started = [int(line) for line in log.read_text().split()]
    assert {n for n in outcomes if n not in crashed} <= set(started)
