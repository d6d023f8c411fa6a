"""SIGTERM and SIGHUP as the end of a command that has to clean up."""

import asyncio
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

#: What a shell adds to the number of the signal that ended a command.
_SIGNAL_BASE = 128


@contextmanager
def ended_by_signals() -> Generator[None]:
    """SIGTERM and SIGHUP end the call as an error does, so that it cleans up.

    One that is ignored (nohup) stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _frame: FrameType | None) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            _leave(number)
        else:
            # Raised where the loop has just called us, it would be taken for a bug of a connection
            # (uvloop), and the call would go on without that.
            loop.call_soon_threadsafe(_leave, number)

    both = (signal.SIGTERM, signal.SIGHUP)
    numbers = [number for number in both if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _leave(number: int) -> None:
    raise SystemExit(_SIGNAL_BASE + number)
