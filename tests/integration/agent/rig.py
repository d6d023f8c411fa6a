"""Real slots with a real zygote, and short ways to say what runs in them."""

import asyncio
import hashlib
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloudpickle

from covey.agent import proctree
from covey.agent.forker import spawn_zygote
from covey.agent.slots import Chunk, Slots
from covey.core.events import Ended
from covey.model.context import (
    CALL_TAG,
    MAP_TAG,
    CallContext,
    CommandContext,
    encode_command,
    encode_context,
)
from covey.model.job import Shape
from covey.model.report import Report, decode_report
from covey.model.task import OutcomeState
from covey.model.template import Template
from covey.testing.waiting import happens, wait_until

#: Longest that a chunk takes, also on a starved machine.
OVER_MAX_S = 60.0
#: Job of a chunk unless a test says otherwise.
JOB = 7
SUCCEEDED, FAILED = OutcomeState.SUCCEEDED, OutcomeState.FAILED


def call(*args: object, **kwargs: object) -> bytes:
    """The payload of one call."""
    return CALL_TAG + pickle.dumps((args, kwargs))


def calls(*items: tuple[object, ...]) -> bytes:
    """The payload of a batch of calls."""
    return MAP_TAG + pickle.dumps(list(items))


def function(fn: Callable[..., Any], **more: Any) -> bytes:
    """The context of a function."""
    more.setdefault("sys_path", list(sys.path))
    return encode_context(CallContext(cloudpickle.dumps(fn), **more))  # pyright: ignore


def command(
    *words: str, cwd: str = "/", env: dict[str, str] | None = None, append: bool = True
) -> bytes:
    """The context of a command with GNU parallel's grammar."""
    template = Template.parse([os.fsencode(word) for word in words], append=append)
    env = dict(os.environ) if env is None else env
    return encode_context(CommandContext(template.to_wire(), env=env, cwd=cwd))


def shell(script: str, **more: Any) -> bytes:
    """The context of a shell script; where it wants the item it says {}."""
    return command(script, append=False, **more)


class Done:
    """What came of the tasks of one chunk."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.states: list[OutcomeState] = []
        self.raw: list[bytes] = []
        self.parts: list[Ended] = []
        self.is_over = asyncio.Event()

    @property
    def reports(self) -> list[Report]:
        return [decode_report(data) for data in self.raw]

    @property
    def values(self) -> list[Any]:
        return [pickle.loads(r.value) if r.value else None for r in self.reports]

    @property
    def report(self) -> Report:
        assert len(self.raw) == 1, self.states
        return decode_report(self.raw[0])

    @property
    def state(self) -> OutcomeState:
        assert len(self.states) == 1, self.states
        return self.states[0]


class Rig:
    """Slots whose results are kept by slot."""

    def __init__(self, directory: Path, count: int = 2) -> None:
        self.owner = uuid.uuid4().hex
        self.directory = directory
        self.runtime = directory / "runtime"
        self.runtime.mkdir()
        self.zygote, sock = spawn_zygote()
        self.slots = Slots(sock, count, self.runtime, self.owner, self._on_ended)
        self.running: dict[int, Done] = {}

    def start(
        self,
        context: bytes,
        payloads: Sequence[bytes] | None = None,
        *,
        slot: int = 1,
        job: int = JOB,
        first: int = 1,
        time_limit_s: float = 0.0,
        capture: bool = False,
        scheduler: str = "s",
        env: dict[str, str] | None = None,
        **terms: Any,
    ) -> Done:
        kind = "callable" if context[1] == 2 else "command"
        if payloads is None:
            payloads = [call() if kind == "callable" else encode_command([])]
        done = self.running[slot] = Done()
        ids = list(range(first, first + len(payloads)))
        self.slots.start(
            Chunk(
                slot=slot,
                kind=kind,
                scheduler=scheduler,
                job=job,
                ids=ids,
                ns=[1] * len(ids),
                payloads=list(payloads),
                context=context,
                context_digest=hashlib.sha256(context).hexdigest(),
                terms=Shape(kind=kind, **terms),
                time_limit_s=time_limit_s,
                env={"COVEY_JOB_ID": str(job), "COVEY_MACHINE": "here"} | (env or {}),
                workdir=str(self.directory / "work"),
                capture=capture,
            )
        )
        return done

    async def run(
        self, context: bytes, payloads: Sequence[bytes] | None = None, **how: Any
    ) -> Done:
        return await self.over(self.start(context, payloads, **how))

    async def once(self, fn: Callable[..., Any], *args: object) -> Any:
        """The value of one call in slot 1."""
        done = await self.run(function(fn), [call(*args)])
        assert done.states == [SUCCEEDED], done.reports
        return done.values[0]

    async def over(self, done: Done) -> Done:
        async with asyncio.timeout(OVER_MAX_S):
            await done.is_over.wait()
        return done

    def children(self) -> list[int]:
        return proctree.children(self.zygote.pid)

    async def close(self) -> None:
        await self.slots.close(1.0)

    def _on_ended(self, ended: Ended, ids: list[int], reports: list[bytes]) -> None:
        done = self.running[ended.slot]
        assert not done.is_over.is_set(), "something came after the last"
        assert len(ids) == len(reports) == len(ended.states)
        done.ids += ids
        done.states += [OutcomeState(state) for state in ended.states]
        done.raw += reports
        done.parts.append(ended)
        if ended.is_last:
            done.is_over.set()


def live(marker: str) -> list[int]:
    """Processes that run (no zombies) with this text in their command line."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                words = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if marker.encode() in words and proctree.identify(int(name)):
                found.append(int(name))
    return found


@contextmanager
def no_leaks(directory: Path, owner: Callable[[], str]) -> Generator[None]:
    """Checks that afterwards there is no process, descriptor or file more than before."""
    fds, kids = set(os.listdir("/proc/self/fd")), set(proctree.children(os.getpid()))
    yield
    wait_until(
        lambda: not proctree.find_owned(owner()),
        describe=lambda: proctree.find_owned(owner()),
    )
    wait_until(
        lambda: set(proctree.children(os.getpid())) <= kids,
        describe=lambda: set(proctree.children(os.getpid())) - kids,
    )
    left = {
        fd: os.readlink(f"/proc/self/fd/{fd}")
        for fd in set(os.listdir("/proc/self/fd")) - fds
        if os.path.lexists(f"/proc/self/fd/{fd}")
    }
    assert not left, f"open descriptors: {left}"
    assert not list((directory / "runtime").iterdir())


__all__ = [
    "FAILED",
    "JOB",
    "SUCCEEDED",
    "Done",
    "Rig",
    "call",
    "calls",
    "command",
    "encode_command",
    "function",
    "happens",
    "live",
    "no_leaks",
    "shell",
    "time",
]
