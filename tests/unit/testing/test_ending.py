"""What a test waits for has an end, and says what it was."""

import array
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading

import pytest

from covey.agent import proctree
from covey.testing.ending import end, ended, ended_unless, join, line_of, returns
from covey.testing.waiting import NeverHappened, wait_until

#: Nothing here takes so long by itself.
SHORT_S = 0.2


def test_what_a_call_returns_or_raises_comes_through() -> None:
    assert returns(lambda: 5, describe="five") == 5
    with pytest.raises(ZeroDivisionError):
        returns(lambda: 1 // 0, describe="nothing")


def test_a_call_that_hangs_is_told_with_the_line_where_it_stands() -> None:
    gate = threading.Event()

    def hang_here() -> None:
        gate.wait(60)

    with pytest.raises(NeverHappened, match="the gate") as told:
        returns(hang_here, describe="the gate", timeout_s=SHORT_S)
    assert "in hang_here" in str(told.value)
    gate.set()


def test_a_thread_that_hangs_is_told_by_name() -> None:
    gate = threading.Event()
    thread = threading.Thread(target=gate.wait, args=(60,), name="sleeper", daemon=True)
    thread.start()
    with pytest.raises(NeverHappened, match="sleeper"):
        join(thread, timeout_s=SHORT_S)
    gate.set()
    join(thread)


def test_a_process_that_stands_still_is_ended_as_any_other() -> None:
    with ended(_python("import time; time.sleep(600)")) as process:
        process.send_signal(signal.SIGSTOP)
    assert process.returncode == -signal.SIGKILL
    assert end(process) == -signal.SIGKILL, "again is no error"


def test_a_pipe_that_a_grandchild_holds_open_keeps_nobody() -> None:
    program = "import subprocess; print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
    with ended(_python(program)) as process:
        grandchild = int(line_of(process))
        process.wait(60)
        with pytest.raises(NeverHappened, match="it ended with 0"):
            line_of(process, timeout_s=SHORT_S)
    os.kill(grandchild, signal.SIGKILL)
    wait_until(lambda: proctree.identify(grandchild) is None)


def test_lines_are_read_one_by_one_and_what_follows_is_left() -> None:
    with ended(_python("print('one\\ntwo\\nthree')")) as process:
        assert line_of(process) == "one\n"
        assert line_of(process) == "two\n"
        assert process.communicate(timeout=60)[0] == "three\n"


def test_the_end_of_what_it_says_is_an_empty_line() -> None:
    with ended(_python("pass")) as process:
        assert line_of(process) == ""


def test_half_a_line_is_shown_when_no_more_comes() -> None:
    program = "import sys, time; print('half', end='', flush=True); time.sleep(600)"
    with ended(_python(program)) as process:
        assert process.stdout is not None
        wait_until(lambda: _waiting_bytes(process) == 4)
        with pytest.raises(NeverHappened, match=r"\(it runs\), only: 'half'"):
            line_of(process, timeout_s=SHORT_S)


def test_what_fails_before_anybody_has_it_is_killed() -> None:
    process = _python("import time; time.sleep(600)")
    with pytest.raises(LookupError), ended_unless(process):
        raise LookupError
    assert process.returncode == -signal.SIGKILL


def _python(program: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


def _waiting_bytes(process: "subprocess.Popen[str]") -> int:
    """How much lies in the pipe of its standard output."""
    assert process.stdout is not None
    count = array.array("i", [0])
    fcntl.ioctl(process.stdout, termios.FIONREAD, count)
    return count[0]
