"""Exit status and last words, and which shell runs the commands."""

import pytest

from covey.cli.map.ending import Ending, command_line, exit_code, halt_line
from covey.cli.map.grammar import parse_map
from covey.cli.map.shell import shell_of


@pytest.mark.parametrize(
    ("end", "halt", "code"),
    [
        (Ending(5, 0, 5), "never", 0),
        (Ending(2, 3, 5), "never", 3),
        (Ending(0, 100, 100), "never", 100),
        (Ending(0, 105, 105), "never", 101),
        (Ending(0, 0, 0), "never", 0),
        (Ending(1, 1, 4, halted_by=(7, 0)), "now,fail=1", 7),
        (Ending(1, 1, 4, halted_by=(0, 9)), "now,fail=1", 137),
        (Ending(0, 2, 4, halted_by=(5, 0)), "soon,fail=2", 2),
        (Ending(0, 2, 4, halted_by=(4, 0)), "now,fail=50%", 50),
        (Ending(1, 1, 4, halted_by=(0, 0)), "soon,done=50%", 25),
        (Ending(2, 1, 6, halted_by=(2, 0)), "now,fail=1%", 17),
        (Ending(2, 1, 1000, halted_by=(2, 0)), "now,done=0.1%", 1),
        (Ending(0, 1, 4, halted_by=(3, 0)), "now,done=1", 3),
        (Ending(2, 1, 4, halted_by=(0, 0)), "now,success=2", 0),
        (Ending(2, 2, 4), "now,success=3", 2),
        (Ending(4, 2, 6), "soon,fail=50%", 34),
        (Ending(4, 2, 6), "soon,success=90%", 34),
        (Ending(0, 0, 0), "soon,fail=50%", 0),
        (Ending(4, 0, 4), "now,fail=1", 0),
    ],
)
def test_the_exit_status_is_that_of_gnu_parallel(end: Ending, halt: str, code: int) -> None:
    assert exit_code(end, parse_map(["--halt", halt, "x"]).halt) == code


def test_halt_says_why_it_stops() -> None:
    soon = parse_map(["--halt", "soon,fail=10%", "x"]).halt
    assert soon is not None
    assert halt_line(soon, 3) == (
        "--halt soon,fail=10% came true: starting no more, waiting for 3 running"
    )


def test_a_command_line_is_shown_as_it_is_typed() -> None:
    assert command_line(["-k", "echo {}", ":::", "a b"]) == "covey map -k 'echo {}' ::: 'a b'"


@pytest.mark.parametrize(
    ("env", "path", "functions"),
    [
        ({}, "/bin/sh", ()),
        ({"SHELL": "/bin/bash"}, "/bin/bash", ()),
        ({"SHELL": "/bin/zsh", "PARALLEL_SHELL": "/bin/dash"}, "/bin/dash", ()),
        ({"SHELL": "/bin/zsh"}, "/bin/zsh", None),
        ({"SHELL": "/usr/bin/fish"}, "/usr/bin/fish", None),
        ({"SHELL": "/bin/bash", "BASH_ENV": "/x"}, "/bin/bash", None),
        ({"SHELL": "/bin/bash", "BASH_FUNC_f%%": "() { :; }"}, "/bin/bash", (b"f",)),
    ],
)
def test_the_shell_is_the_callers(
    env: dict[str, str], path: str, functions: tuple[bytes, ...] | None
) -> None:
    assert shell_of(env) == (path, functions)
