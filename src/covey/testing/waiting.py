"""Waiting in tests: for a condition, with a limit, and with the last state in the failure."""

import asyncio
import time
from collections.abc import Callable

#: Longest wait unless a test says otherwise; far over what anything here takes, also on a starved
#: machine.
WAIT_MAX_S = 60.0
#: Longest time that any command line of a test takes, also on a starved machine.
COMMAND_MAX_S = 120.0
#: Between two looks; doubled up to the second.
LOOK_MIN_S = 0.002
LOOK_MAX_S = 0.05


class NeverHappened(AssertionError):
    """What a test waited for did not happen in time."""


def wait_until(
    predicate: Callable[[], object],
    *,
    describe: str | Callable[[], object] = "",
    timeout_s: float = WAIT_MAX_S,
) -> None:
    """Return as soon as `predicate()` is true. Blocks: on an event loop use `happens`.

    Args:
        predicate: looked at every 2-50 ms.
        describe: what is awaited, or a function that shows the present state; printed on failure.
        timeout_s: the limit.

    Raises:
        NeverHappened: it stayed false.
    """
    until, pause_s = time.monotonic() + timeout_s, LOOK_MIN_S
    while not predicate():
        if time.monotonic() > until:
            raise NeverHappened(_failure(describe, timeout_s))
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, LOOK_MAX_S)


async def happens(
    predicate: Callable[[], object],
    *,
    describe: str | Callable[[], object] = "",
    timeout_s: float = WAIT_MAX_S,
) -> None:
    """`wait_until` for a test that is a coroutine: the loop runs on meanwhile.

    Raises:
        NeverHappened: it stayed false.
    """
    until, pause_s = time.monotonic() + timeout_s, LOOK_MIN_S
    while not predicate():
        if time.monotonic() > until:
            raise NeverHappened(_failure(describe, timeout_s))
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LOOK_MAX_S)


def _failure(describe: str | Callable[[], object], timeout_s: float) -> str:
    state = describe if isinstance(describe, str) else f"last state: {describe()!r}"
    return f"not within {timeout_s:g} s: {state or 'the condition'}"
