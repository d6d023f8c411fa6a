"""Something is killed or stopped at the worst moment: what was asked for comes, nothing is left."""

import gc
import os
import signal
import textwrap
import time
from pathlib import Path

import pytest
from tests.integration.client.programs import run, script, start

import covey
from covey.agent import proctree
from covey.errors import CoveyError
from covey.testing.ending import end, ended, line_of, shut
from covey.testing.leaks import Traces
from covey.testing.waiting import NeverHappened, wait_until

#: Longest that anything here takes, also on a starved machine.
RESULT_MAX_S = 100.0


def slow_abs(n: int) -> int:
    time.sleep(0.02)
    return abs(n)


def test_the_death_of_the_root_process_is_survived(ex: covey.Executor, traces: Traces) -> None:
    many = [ex.submit(slow_abs, -n) for n in range(100)]
    many[5].result()
    (root,) = traces.roots()
    os.kill(root, signal.SIGKILL)
    assert [future.result(RESULT_MAX_S) for future in many] == list(range(100))


def test_the_death_of_the_bus_server_is_survived(ex: covey.Executor, traces: Traces) -> None:
    many = [ex.submit(slow_abs, -n) for n in range(100)]
    many[5].result()
    (server,) = traces.servers()
    os.kill(server, signal.SIGKILL)
    assert [future.result(RESULT_MAX_S) for future in many] == list(range(100))


def test_a_root_process_that_stands_still_for_a_while_is_waited_for(
    ex: covey.Executor, traces: Traces
) -> None:
    many = [ex.submit(slow_abs, -n) for n in range(100)]
    many[5].result()
    (root,) = traces.roots()
    os.kill(root, signal.SIGSTOP)
    until = time.monotonic() + 5
    wait_until(lambda: time.monotonic() > until)
    assert _state(root) == b"T"
    os.kill(root, signal.SIGCONT)
    assert [future.result(RESULT_MAX_S) for future in many] == list(range(100))


def _state(pid: int) -> bytes:
    return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]


def test_a_root_process_that_dies_again_and_again_is_told(
    ex: covey.Executor, traces: Traces
) -> None:
    future = ex.submit(time.sleep, 600)
    wait_until(future.running)
    killed: set[int] = set()

    def kill_next() -> bool:
        for root in set(traces.roots()) - killed:
            killed.add(root)
            os.kill(root, signal.SIGKILL)
        return future.done()

    wait_until(kill_next, timeout_s=RESULT_MAX_S)
    with pytest.raises(CoveyError, match="again and again"):
        future.result()
    with pytest.raises(CoveyError, match="again and again"):
        ex.submit(abs, -1).result()


KILLING = """
import covey, os, signal, sys, time
from covey.testing.faults import PrivateParts
def slow_abs(n):
    time.sleep(0.5)
    return abs(n)
ex = covey.Executor(1)
ex.submit(abs, -1).result(100)
{change}
future = ex.submit(slow_abs, -5)
os.kill(PrivateParts(os.getpid()).root.pid, signal.SIGKILL)
try:
    print(future.result(100))
except covey.errors.CoveyError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')", "5"),
        ("sys.executable = None", "a bug in covey's executor"),
    ],
    ids=["a directory that is gone", "something that nobody thought of"],
)
def test_whatever_keeps_a_new_root_from_starting_nobody_waits_for_ever(
    tmp_path: Path, change: str, said: str
) -> None:
    (tmp_path / "program.py").write_text(KILLING.format(change=change))
    done = run(tmp_path, "program.py")
    assert (done.returncode, said in done.stdout) == (0, True), (done.stdout, done.stderr)


def test_killed_children_fail_their_tasks_only(ex: covey.Executor) -> None:
    def fall(n: int) -> int:
        if n % 10 == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return n

    errors = [ex.submit(fall, n).exception() for n in range(60)]
    assert [n for n, error in enumerate(errors) if error] == list(range(3, 60, 10))


RUNNING = """
import covey, os, sys, time
def stay(path):
    import subprocess
    child = subprocess.Popen(['sleep', '600'])
    open(path + str(os.getpid()), 'w').close()
    child.wait()
ex = covey.Executor(2)
futures = [ex.submit(stay, os.getcwd() + '/run-') for _ in range(4)]
while len([n for n in os.listdir('.') if n.startswith('run-')]) < 2:
    time.sleep(0.01)
"""


def test_a_client_that_is_killed_leaves_nothing(tmp_path: Path, traces: Traces) -> None:
    with ended(start(tmp_path, RUNNING + "print('up')\ntime.sleep(600)\n")) as program:
        assert line_of(program) == "up\n"
        assert len(traces.processes()) >= 6
        program.kill()
    traces.wait_gone()


def test_everything_killed_at_once_is_cleaned_up_by_the_next(
    tmp_path: Path, traces: Traces
) -> None:
    with ended(start(tmp_path, RUNNING + "print('up')\ntime.sleep(600)\n")) as program:
        assert line_of(program) == "up\n"
        for pid in [*traces.roots(), *traces.servers(), program.pid]:
            proctree.signal_all([pid], signal.SIGKILL)
    with covey.Executor(1) as ex:
        assert ex.submit(abs, -1).result() == 1
    traces.wait_gone()


def test_ctrl_c_while_waiting_cancels_and_leaves_nothing(tmp_path: Path, traces: Traces) -> None:
    text = RUNNING + "print('up')\nwith ex:\n    futures[0].result()\n"
    with ended(start(tmp_path, text)) as program:
        assert line_of(program) == "up\n"
        program.send_signal(signal.SIGINT)
        assert program.wait(RESULT_MAX_S) == -signal.SIGINT
    traces.wait_gone()


def test_ctrl_c_that_nobody_catches_ends_the_program(tmp_path: Path, traces: Traces) -> None:
    with ended(start(tmp_path, RUNNING + "print('up')\nfutures[0].result()\n")) as program:
        assert line_of(program) == "up\n"
        program.send_signal(signal.SIGINT)
        assert program.wait(RESULT_MAX_S) == -signal.SIGINT
    traces.wait_gone()


def test_an_executor_that_is_dropped_leaves_nothing(traces: Traces) -> None:
    future = covey.Executor(1).submit(abs, -3)
    assert future.result() == 3
    gc.collect()
    traces.wait_gone()


def test_an_executor_that_was_never_used_leaves_nothing(traces: Traces) -> None:
    covey.Executor(1).shutdown(wait=False)
    covey.Executor(1)
    gc.collect()
    traces.wait_gone()


def test_in_tests_what_never_ends_is_cancelled_and_told(traces: Traces) -> None:
    executor = covey.Executor(1)
    future = executor.submit(time.sleep, 600)
    wait_until(future.running)
    with pytest.raises(NeverHappened, match="the end of what was submitted"):
        shut(executor, timeout_s=0.5)
    assert future.cancelled()
    traces.wait_gone()


FORKING = """
import covey, os, sys, time
def pid():
    return os.getpid()
ex = covey.Executor(2)
{before}
child = os.fork()
if child == 0:
    try:
        assert ex.submit(pow, 2, 5).result(100) == 32
        assert list(ex.map(abs, range(-10, 0))) == list(range(10, 0, -1))
        {end}
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status), ex.submit(abs, -4).result(100))
ex.shutdown()
"""


@pytest.mark.parametrize("before", ["", "ex.submit(pid).result()", "time.sleep(0.05)"])
@pytest.mark.parametrize("end", ["os._exit(0)", "ex.shutdown(); os._exit(0)", "sys.exit(0)"])
def test_a_forked_child_has_an_executor_of_its_own(tmp_path: Path, before: str, end: str) -> None:
    if end == "sys.exit(0)":
        end = "os.environ['CHILD'] = '1'"
    text = FORKING.format(before=before, end=end)
    if "CHILD" in end:
        text = text.replace("_, status", "if child == 0: sys.exit(0)\n_, status")
    (tmp_path / "program.py").write_text(text)
    assert script(tmp_path, text) == "0 4\n"


def test_forked_children_do_not_keep_the_cluster_of_a_dead_parent(
    tmp_path: Path, traces: Traces
) -> None:
    text = """
        import covey, os, time
        ex = covey.Executor(2)
        ex.submit(abs, -1).result()
        child = os.fork()
        if child == 0:
            print('child', os.getpid(), flush=True)
            os.close(1)
            os.close(2)
            time.sleep(600)
        time.sleep(600)
    """
    with ended(start(tmp_path, textwrap.dedent(text))) as program:
        child = int(line_of(program).split()[1])
        end(program)
        wait_until(lambda: traces.processes() == [child], describe=traces.processes)
        os.kill(child, signal.SIGKILL)


def test_multiprocessing_may_fork_around_it(tmp_path: Path) -> None:
    text = """
        import covey, multiprocessing
        def work(n):
            return ex.submit(abs, -n).result(100)
        ex = covey.Executor(2)
        ex.submit(abs, -1).result()
        with multiprocessing.get_context('fork').Pool(2) as pool:
            print(pool.map(work, range(4)))
        print(ex.submit(abs, -9).result())
    """
    assert script(tmp_path, textwrap.dedent(text)) == "[0, 1, 2, 3]\n9\n"
