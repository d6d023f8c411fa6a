"""A program that is an agent with slots, as `covey.agent` starts them: the zygote is forked first.

Arguments: directory, owner, marker. Prints `up` when a command that ignores SIGTERM and a callable
that started a process of its own run; then a line per task that ends. Task 3 ends when there is a
file `go` in the directory.
"""

# ruff: noqa: T201, E402

import sys

from covey.agent.zygote import fork_zygote

ZYGOTE = fork_zygote()

import asyncio
from pathlib import Path

from tests.integration.agent.rig import command, encode_command, function

from covey.agent.forker import reap
from covey.agent.handle import Chunk
from covey.agent.slots import Slots
from covey.core.events import Ended
from covey.model.job import Shape
from covey.testing.waiting import happens


def sleeper(marker: str, flag: str) -> None:
    """Runs in a slot child."""
    import subprocess
    import time

    words = ["sh", "-c", f"trap '' TERM; while :; do sleep 0.1; : {marker}; done"]
    subprocess.Popen(words, start_new_session=True)
    Path(flag).touch()
    time.sleep(60)


async def main(directory: Path, owner: str, marker: str) -> None:
    """Until stdin closes."""

    def on_ended(ended: Ended, ids: list[int], reports: list[bytes]) -> None:
        print("ended", ids, ended.states, flush=True)

    slots = Slots(ZYGOTE[1], 3, directory, owner, on_ended)
    await slots.start_all()
    script = f"trap '' TERM; echo up; while :; do sleep 0.1; : {marker}; done"
    flag = directory / "flag"

    def fn() -> None:
        sleeper(marker, str(flag))

    waiting = f"while ! test -e {directory}/go; do sleep 0.02; done; rm {directory}/go"
    third = command(waiting, append=False)
    for slot, (kind, context) in enumerate(
        [
            ("command", command(script, append=False)),
            ("callable", function(fn)),
            ("command", third),
        ],
        1,
    ):
        payload = encode_command([]) if kind == "command" else b"C\x80\x04)}\x86."
        terms = Shape(kind=kind)  # pyright: ignore
        one = Chunk(slot, kind, "s", 1, [slot], [1], [payload], context, str(slot), terms)
        slots.start(one)
    await happens(lambda: flag.exists() and slots.read_output(1, 1, 1, 0, 2))
    flag.unlink()
    print("up", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await slots.close(0.5)
    assert reap(ZYGOTE[0], 5.0)
    print("closed", flush=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
