"""The event loop that covey's processes run on."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, on uvloop where it can be imported."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def apart(work: Callable[[], T]) -> T:
    """Call what runs a loop of its own: in another thread where this one has a loop (a notebook).

    Raises:
        BaseException: what `work` raised.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return work()
    came: list[T] = []
    errors: list[BaseException] = []

    def call() -> None:
        try:
            came.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that called
            errors.append(error)

    thread = threading.Thread(target=call, name="covey-apart", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return came[0]
