"""What code travels: from scripts without a guard, the prompt, notebooks, modules beside it."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.client.programs import run, script

import covey

SCRIPT = """
import covey
from dataclasses import dataclass
from functools import partial
from beside import tripled

FACTOR = 3

@dataclass
class Point:
    x: int
    def scaled(self, by):
        return Point(self.x * by)

class Odd(Exception):
    pass

def helper(n):
    return n * FACTOR

def work(n):
    return helper(n) + 1

def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)

def refuse(p):
    raise Odd(p.x)

ex = covey.Executor(2, local=True)
print(ex.submit(work, 1).result(), list(ex.map(work, range(3))))
point = ex.submit(Point(2).scaled, 4).result()
print(point, type(point) is Point, ex.submit(fib, 10).result())
print(ex.submit(tripled, 5).result(), ex.submit(partial(pow, 2), 5).result())
error = ex.submit(refuse, Point(7)).exception()
print(type(error) is Odd, error.args)
FACTOR = 5
print(ex.submit(work, 1).result(), ex.submit(lambda: FACTOR).result())
print([ex.submit(lambda: n * n).result() for n in range(12)])
print(ex.submit(lambda: __name__).result(), ex.submit(lambda: __file__[-10:]).result())
"""


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def tripled(n):\n    return 3 * n\n")
    assert script(tmp_path, SCRIPT).splitlines() == [
        "4 [1, 4, 7]",
        "Point(x=8) True 55",
        "15 32",
        "True (7,)",
        "6 5",
        str([n * n for n in range(12)]),
        "__main__ program.py",
    ]


def test_the_interpreter_waits_for_what_was_submitted(tmp_path: Path) -> None:
    text = """
        import covey, os, time
        # One write for each line: three processes write to one pipe.
        def say(line):
            os.write(1, f'{line}\\n'.encode())
        def slow(n):
            while not os.path.exists('main-ends'):
                time.sleep(0.01)
            time.sleep(0.3)
            say(f'ended {n}')
        def go():
            ex = covey.Executor(2)
            for n in range(3):
                ex.submit(slow, n).add_done_callback(lambda f: say('told'))
        go()
        say('main ends')
        open('main-ends', 'w').close()
    """
    said = script(tmp_path, textwrap.dedent(text)).splitlines()
    assert said[0] == "main ends"
    assert sorted(said[1:]) == ["ended 0", "ended 1", "ended 2", "told", "told", "told"]


def test_nothing_is_taken_when_the_interpreter_has_ended_it(tmp_path: Path) -> None:
    text = """
        import atexit
        @atexit.register
        def run_last():
            try:
                ex.submit(id, None)
            except RuntimeError as error:
                print(error)
        import covey
        ex = covey.Executor(1, local=True)
        ex.submit(id, 42).result()
    """
    said = script(tmp_path, textwrap.dedent(text))
    assert said == "cannot schedule new futures after shutdown\n"


def test_a_shutdown_without_waiting_is_waited_for_at_the_end(tmp_path: Path) -> None:
    text = "import covey, os\nex = covey.Executor(1)\nex.submit(os.system, 'sleep .2; echo ran')\n"
    assert script(tmp_path, text + "ex.shutdown(wait=False)\ndel ex\n") == "ran\n"


def test_a_program_may_be_given_on_the_command_line(tmp_path: Path) -> None:
    text = "import covey; k = 4; print(covey.Executor(1).submit(lambda x: x + k, 3).result())"
    done = run(tmp_path, "-c", text)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_the_prompt_works(tmp_path: Path) -> None:
    text = """
        import covey
        ex = covey.Executor(1)
        def f(x):
            return g(x) + 1

        def g(x):
            return 10 * x

        ex.submit(f, 2).result()
        ex.shutdown()
    """
    done = run(tmp_path, "-i", "-q", text=textwrap.dedent(text).lstrip())
    assert "21\n" in done.stdout
    assert "Error" not in done.stderr


def test_what_is_defined_in_cells_works(tmp_path: Path) -> None:
    text = """
        import code, sys
        console = code.InteractiveConsole(sys.modules['__main__'].__dict__)
        for cell in (
            'import covey; ex = covey.Executor(2)',
            'class A:\\n    def __init__(self, x): self.x = x\\n',
            'def f(a): return A(a.x + y)\\n',
            'y = 1',
            'print(ex.submit(f, A(1)).result().x, isinstance(ex.submit(f, A(1)).result(), A))',
            'y = 10',
            'print(list(a.x for a in ex.map(f, [A(1), A(2)])))',
            'def f(a): return "new"\\n',
            'print(ex.submit(f, A(1)).result())',
        ):
            console.runcode(compile(cell, '<cell>', 'exec'))
    """
    assert script(tmp_path, textwrap.dedent(text)) == "2 True\n[11, 12]\nnew\n"


def test_a_module_that_is_found_later_is_found_by_tasks_too(
    ex: covey.Executor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ex.submit(str, 1).result() == "1"
    (tmp_path / "found_later.py").write_text("class Thing:\n    def __str__(self): return 'it'\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    import found_later  # pyright: ignore

    assert ex.submit(str, found_later.Thing()).result() == "it"  # pyright: ignore


def test_a_thousand_different_closures_are_no_burden(ex: covey.Executor) -> None:
    def minus(n: int) -> Callable[[], int]:
        return lambda: -n

    many = [ex.submit(minus(n)) for n in range(1000)]
    assert [future.result() for future in many] == [-n for n in range(1000)]
    assert len(ex._shared.engine().contexts) < 20  # pyright: ignore[reportPrivateUsage]


def test_it_works_without_uvloop(tmp_path: Path) -> None:
    text = """
        import sys
        sys.modules['uvloop'] = None
        import covey
        with covey.Executor(2) as ex:
            print(sum(ex.map(abs, range(100))), ex.submit(abs, -1).result())
    """
    assert script(tmp_path, textwrap.dedent(text)) == "4950 1\n"


def test_queues_of_a_manager_work_as_arguments(tmp_path: Path) -> None:
    text = """
import multiprocessing
import covey

def tell(queue, n):
    queue.put(n)
    return n

# `fork` needs no guard: nothing of covey runs yet.
with multiprocessing.get_context("fork").Manager() as manager:
    queue = manager.Queue()
    with covey.Executor(2, local=True) as ex:
        done = [ex.submit(tell, queue, n).result(60) for n in range(3)]
        print(done, [queue.get(timeout=60) for _ in done])
"""
    assert script(tmp_path, text) == "[0, 1, 2] [0, 1, 2]\n"
