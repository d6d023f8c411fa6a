"""What an agent on a machine of its own sees to: its log stays short, its sockets stay, and it does
not stay alone.

A head that is gone for good leaves agents behind where it cannot reach them any more.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from covey.agent.order import StartOrder

log = logging.getLogger(__name__)

#: A log that is longer is cut: its last part goes to `<log>.1`, and it begins anew.
LOG_MAX_BYTES = 4 * 1024 * 1024
#: How often the log and the bus are looked at.
LOOK_EVERY_S = 30.0
#: How often the files of the runtime directory are touched: what tidies /tmp takes those that
#: nobody used for some days.
TOUCH_EVERY_S = 3600.0


async def keep_watch(order: StartOrder, is_up: Callable[[], bool], end: asyncio.Event) -> None:
    """Look after the log for ever; set `end` when the bus was away for `order.without_bus_s`."""
    loop = asyncio.get_running_loop()
    met_at = touched_at = loop.time()
    every_s = min(LOOK_EVERY_S, order.without_bus_s or LOOK_EVERY_S)
    while not end.is_set():
        if order.log:
            cut(Path(order.log))
        if loop.time() - touched_at >= TOUCH_EVERY_S:
            touched_at = loop.time()
            touch(Path(order.runtime_dir))
        if is_up():
            met_at = loop.time()
        elif 0 < order.without_bus_s <= loop.time() - met_at:
            log.warning("no bus for %g h: this agent ends", order.without_bus_s / 3600)
            end.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await end.wait()


def touch(directory: Path) -> None:
    """Make a directory and the files in it used just now."""
    for path in (directory, *directory.iterdir()):
        with suppress(OSError):
            os.utime(path)


def cut(path: Path) -> None:
    """Keep a log that others have open for appending under twice LOG_MAX_BYTES."""
    try:
        size = path.stat().st_size
        if size <= LOG_MAX_BYTES:
            return
        with path.open("rb") as file:
            file.seek(size - LOG_MAX_BYTES // 2)
            path.with_name(f"{path.name}.1").write_bytes(file.read())
        os.truncate(path, 0)
    except OSError:
        # A full disk, or a log that somebody removed: nothing that a log is worth dying for.
        return
