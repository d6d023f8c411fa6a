"""A process may die between any two lines: here one does, at each of them in turn.

Forks, so it is for a program with one thread, not for the process of the tests:

    print(each_line(make, look, files=[runtime.__file__]))
"""

import itertools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Collection
from types import FrameType
from typing import Any

from covey.testing.waiting import NeverHappened, wait_until


def each_line(
    act: Callable[[], object], check: Callable[[], object], files: Collection[str]
) -> int:
    """Do `act` in a child that is killed at its first line, then in one killed at its second ….

    Args:
        act: what is done; until it comes to its end.
        check: called after each death, and after the end.
        files: of the modules whose lines count.

    Returns:
        At how many lines a child was killed.

    Raises:
        AssertionError: `act` failed.
    """
    for number in itertools.count(1):
        pid = os.fork()
        if not pid:
            _do(act, number, files)
        status = os.waitstatus_to_exitcode(_status_of(pid))
        check()
        assert status in (0, -signal.SIGKILL), f"exit status {status} at line {number}"
        if status == 0:
            return number - 1
    raise AssertionError


def _status_of(pid: int) -> int:
    """How the child ended; one that hangs is killed, and told."""
    came = (0, 0)

    def has_ended() -> bool:
        nonlocal came
        came = os.waitpid(pid, os.WNOHANG)
        return came[0] == pid

    try:
        wait_until(has_ended, describe=f"the end of the forked child {pid}")
    except NeverHappened:
        os.kill(pid, signal.SIGKILL)
        raise
    return came[1]


def _do(act: Callable[[], object], number: int, files: Collection[str]) -> None:
    left = number

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        if frame.f_code.co_filename not in files:
            return None
        if event == "line":
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    status = 1
    try:
        sys.settrace(trace)
        act()
        status = 0
    except BaseException:  # noqa: BLE001 - it must not run into the code that forked it
        traceback.print_exc()
    finally:
        os._exit(status)
