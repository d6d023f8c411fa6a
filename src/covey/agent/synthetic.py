"""Tasks that do nothing useful for a given time: the load of `covey sparrow`."""

import random
import time
from collections.abc import Callable

#: Bytes that `wander` reads all over: more than the caches of a core hold.
WANDER_BYTES = 64 * 1024 * 1024
#: Between two looks at the clock.
_STEPS = 2_000


def sleep(seconds: float) -> None:
    """Wait: takes a slot and nothing else."""
    time.sleep(seconds)


def spin(seconds: float) -> None:
    """Use so much time of a processor, on floating-point numbers."""
    until = time.process_time() + seconds
    x = 0.5
    while time.process_time() < until:
        for _ in range(_STEPS):
            x = x * 1.000001 + 0.000001


def wander(seconds: float) -> None:
    """Use so much time of a processor, on reads all over a large piece of memory."""
    until = time.process_time() + seconds
    rng = random.Random(seconds)
    page = _memory()
    total = 0
    while time.process_time() < until:
        for _ in range(_STEPS):
            total += page[int(rng.random() * WANDER_BYTES)]


#: The kinds of work, by the names of `covey sparrow --work`.
WORK: dict[str, Callable[[float], None]] = {"sleep": sleep, "cpu": spin, "memory": wander}

_pages: list[bytearray] = []


def _memory() -> bytearray:
    """One piece per process: made by its first task."""
    if not _pages:
        _pages.append(bytearray(WANDER_BYTES))
        # Each page is touched once, so that it is really there.
        _pages[0][::4096] = b"\x01" * (WANDER_BYTES // 4096)
    return _pages[0]
