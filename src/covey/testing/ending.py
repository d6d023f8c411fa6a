"""Ends that a test waits for, with a limit: of calls, of child processes, of what those say.

pytest-timeout ends a test by one exception, once, and only until the test has failed. What waits
without a limit while that exception passes, or in a fixture that cleans up behind it, waits for
ever: so nothing that cleans up may.
"""

import os
import select
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from covey.bus.loop import fill
from covey.testing.waiting import WAIT_MAX_S, NeverHappened

if TYPE_CHECKING:
    from covey import Executor

T = TypeVar("T")
P = TypeVar("P", bound="subprocess.Popen[Any]")

#: A process that SIGKILL has not ended by then never ends.
KILLED_MAX_S = 60.0
#: An executor that has not ended by then, with all that was submitted, hangs.
EXECUTOR_MAX_S = 120.0
#: Of what a process has written, so much is shown when it says nothing more.
_SHOWN_CHARS = 2000


def returns(call: Callable[[], T], *, describe: str, timeout_s: float = WAIT_MAX_S) -> T:
    """What `call` returns, or raises. It runs in a thread, which is left behind if it hangs.

    Raises:
        NeverHappened: it did not return in time; with where it stands.
    """
    came = Future[T]()
    thread = threading.Thread(target=fill, args=(came, call), name="covey-test-call", daemon=True)
    thread.start()
    thread.join(timeout_s)
    if not came.done():
        raise NeverHappened(f"not within {timeout_s:g} s: {describe}. It stands here:\n{_stacks()}")
    return came.result()


def join(*threads: threading.Thread, timeout_s: float = WAIT_MAX_S) -> None:
    """Wait for the ends of threads.

    Raises:
        NeverHappened: one has not ended; with where all stand.
    """
    until = time.monotonic() + timeout_s
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            raise NeverHappened(f"{thread.name} runs after {timeout_s:g} s:\n{_stacks()}")


def shut(executor: "Executor", timeout_s: float = EXECUTOR_MAX_S) -> None:
    """`executor.shutdown()`; what has not ended by then is cancelled, and told as a failure.

    Raises:
        NeverHappened: something had not ended; with where all threads stand.
    """
    try:
        returns(executor.shutdown, describe="the end of what was submitted", timeout_s=timeout_s)
    except NeverHappened:
        # As after Ctrl-C: nothing of it may disturb the tests that come.
        with suppress(NeverHappened):
            returns(
                lambda: executor.__exit__(KeyboardInterrupt, None, None),
                describe="the end of an executor that was told to stop",
            )
        raise


@contextmanager
def ended(process: P, timeout_s: float = KILLED_MAX_S) -> Generator[P]:
    """A child process that is killed at the end, if it still runs; its pipes are closed."""
    try:
        yield process
    finally:
        end(process, timeout_s)


@contextmanager
def ended_unless(process: "subprocess.Popen[Any]") -> Generator[None]:
    """It is killed when what is inside fails: nobody has it yet who would."""
    try:
        yield
    except BaseException:
        end(process)
        raise


def end(process: "subprocess.Popen[Any]", timeout_s: float = KILLED_MAX_S) -> int:
    """SIGKILL, also to a process that stands still; its exit status, and its pipes are closed.

    Raises:
        NeverHappened: it does not end; with what it is.
    """
    process.kill()
    try:
        return process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        status = _status(process.pid)
        raise NeverHappened(
            f"killed {timeout_s:g} s ago and there: {process.args!r} {status}"
        ) from None
    finally:
        for pipe in (process.stdin, process.stdout, process.stderr):
            # What it never read is not told any more.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


def line_of(
    process: "subprocess.Popen[Any]",
    pipe: IO[Any] | None = None,
    *,
    timeout_s: float = WAIT_MAX_S,
) -> str:
    """The next line of its standard output, or of `pipe`; "" where that has ended.

    Raises:
        NeverHappened: it said none; with what there is of it.
    """
    pipe = pipe or process.stdout
    assert pipe is not None
    fd, line, until = pipe.fileno(), bytearray(), time.monotonic() + timeout_s
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    # Byte for byte: what comes behind it is for whoever reads next.
    while not line.endswith(b"\n"):
        if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
            said = line.decode(errors="replace")[-_SHOWN_CHARS:]
            how = "it runs" if process.poll() is None else f"it ended with {process.returncode}"
            raise NeverHappened(
                f"no line within {timeout_s:g} s of {process.args!r} ({how}), only: {said!r}"
            )
        piece = os.read(fd, 1)
        if not piece:
            break
        line += piece
    return line.decode(errors="replace")


def _stacks() -> str:
    """Where every thread stands."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, '?')}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # pyright: ignore[reportPrivateUsage]
    )


def _status(pid: int) -> str:
    """Its state and where it is in the kernel."""
    shown: list[str] = []
    for name in ("stat", "wchan"):
        with suppress(OSError):
            shown.append(Path(f"/proc/{pid}/{name}").read_text().strip()[:200])
    return " ".join(shown)
