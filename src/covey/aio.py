"""covey for asyncio: `await covey.aio.run(fn, …)`."""

import asyncio
import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from covey.client.executor import Executor

P = ParamSpec("P")
T = TypeVar("T")

_lock = threading.Lock()
_executors: list[Executor] = []


async def run(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `fn` in another process and wait for its result without blocking the event loop.

    All calls of the program share one Executor, made by the first. Cancelling the awaiting task
    cancels the call, even while it runs.

    Raises:
        BaseException: what `fn` raised.
    """
    return await asyncio.wrap_future(executor().submit(fn, *args, **kwargs))


def executor() -> Executor:
    """The Executor that `run` uses."""
    with _lock:
        if not _executors:
            _executors.append(Executor())
        return _executors[0]
