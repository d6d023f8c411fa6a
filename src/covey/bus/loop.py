"""The event loop that covey's processes run on."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it can be imported."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(_told_what_matters(main))
    return uvloop.run(_told_what_matters(main))


async def _told_what_matters(main: Coroutine[Any, Any, T]) -> T:
    asyncio.get_running_loop().set_exception_handler(_on_exception)
    return await main


def _on_exception(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # uvloop leaves the look-up of a name alone when whoever waited for it is cancelled, and then
    # complains, on the user's terminal, that nobody asked how it ended.
    if not isinstance(context.get("exception"), socket.gaierror):
        loop.default_exception_handler(context)


def apart(work: Callable[[], T]) -> T:
    """Call what runs a loop of its own: in another thread where this one has a loop (a notebook).

    Raises:
        BaseException: what `work` raised.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    came = Future[T]()
    threading.Thread(target=fill, args=(came, work), name="covey-apart", daemon=True).start()
    return came.result()


def fill(future: "Future[T]", work: Callable[[], T]) -> None:
    """Call it; whoever asks the future gets what it returns, or raises."""
    try:
        future.set_result(work())
    except BaseException as error:  # noqa: BLE001 - raised again where it is asked for
        future.set_exception(error)


class Alarm:
    """Rings once, at the earliest of the moments that it was set to since it last rang."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop = loop
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None
        self._at = 0.0
        self._is_closed = False

    def set(self, at: float | None) -> None:
        """Ring at this moment of `time.monotonic`, or earlier; None = no wish of its own."""
        if at is None or self._is_closed:
            return
        if self._timer is not None:
            if self._at <= at:
                return
            self._timer.cancel()
        self._at = at
        self._timer = self._loop.call_later(max(0.0, at - time.monotonic()), self._due)

    def close(self) -> None:
        """Never ring again."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()

    def _due(self) -> None:
        self._timer = None
        self._ring()
