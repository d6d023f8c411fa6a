"""Our command lines are those of the real GNU parallel, byte for byte."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covey.model.template import Mode, Template
from covey.testing.waiting import COMMAND_MAX_S

PARALLEL = shutil.which("parallel")
pytestmark = pytest.mark.skipif(PARALLEL is None, reason="GNU parallel is not installed")
#: Each example starts one GNU parallel (about 0.1 s) on a batch of items.
SLOW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SUFFIXES = ("", ".", "/", "//", "/.")
COMMANDS = (
    "echo {}",
    "echo",
    "{}",
    "{} x",
    "{1} x {2}",
    "a'{}'b \"{}\"",
    "e a'{}'b \"{}\"",
    "./x{}.sh {}",
    "a=b{}",
    "FOO={} x >{.}.out",
    "echo {#} x{}y{/}",
    "  {} two  blanks ",
    "echo {#}",
    "echo {foo} {1..3} ${x} {a,b}",
    *(f"echo {{{n}{suffix}}}" for n in ("", 0, 1, 2, 3, -1) for suffix in SUFFIXES),
)
items = st.binary(max_size=12).filter(lambda item: b"\0" not in item)
paths = st.text("ab./'\" -", max_size=10).map(str.encode)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    quiet = tmp_path / ".parallel"
    quiet.mkdir(exist_ok=True)
    (quiet / "will-cite").touch()
    return tmp_path


def gnu(home: Path, options: Sequence[str], command: str, rows: list[bytes]) -> bytes:
    """What GNU parallel would run, for items given NUL-separated on stdin."""
    done = subprocess.run(
        [str(PARALLEL), "-0", "-k", "--dry-run", "-j1", *options, *([command] if command else [])],
        input=b"".join(row + b"\0" for row in rows),
        capture_output=True,
        check=True,
        env={**os.environ, "HOME": str(home), "SHELL": "/bin/bash"},
        timeout=COMMAND_MAX_S,
    )
    return done.stdout


def ours(template: Template, rows: list[list[bytes]]) -> bytes:
    return b"".join(template.command_text(args, seq, 1) + b"\n" for seq, args in enumerate(rows, 1))


@SLOW
@given(st.lists(items | paths, min_size=1, max_size=200), st.sampled_from(COMMANDS))
def test_one_argument_per_task_is_spelled_as_gnu_spells_it(
    home: Path, rows: list[bytes], command: str
) -> None:
    if command.startswith("{}"):
        # A NUL-free item that is empty would make an empty command line, which GNU skips.
        rows = [row + b"x" for row in rows]
    expected = gnu(home, [], command, rows)
    assert ours(Template.parse(command.encode()), [[row] for row in rows]) == expected


@SLOW
@given(st.lists(paths, min_size=1, max_size=60), st.sampled_from(SUFFIXES))
def test_every_edit_of_a_path_is_gnus(home: Path, rows: list[bytes], suffix: str) -> None:
    command = f"x {{{suffix}}} {{1{suffix}}}"
    assert ours(Template.parse(command.encode()), [[row] for row in rows]) == gnu(
        home, [], command, rows
    )


@SLOW
@given(
    st.lists(items | paths, min_size=1, max_size=40),
    st.sampled_from(
        [
            "echo {}",
            "echo",
            "e a{}b c{}d{1} {2.}",
            "a{}b {1}",
            "x {2} {-1} {3/}",
            "p 'q{}r' {/}s",
            "x  y{1}",
        ]
    ),
    st.sampled_from([("-N", "context"), ("-n", "xargs")]),
    st.integers(1, 4),
)
def test_several_arguments_per_task_are_spelled_as_gnu_spells_them(
    home: Path, rows: list[bytes], command: str, how: tuple[str, Mode], width: int
) -> None:
    option, mode = how
    grouped = [rows[at : at + width] for at in range(0, len(rows), width)]
    template = Template.parse(command.encode(), mode=mode)
    assert ours(template, grouped) == gnu(home, [option, str(width)], command, rows)


@SLOW
@given(
    st.lists(items, min_size=1, max_size=40),
    st.sampled_from(["{x}", "//", ",,", "[]", "ab", "{", "%"]),
    st.sampled_from(["echo {}", "echo R", "x {} R {1} {1.} {.}", "R x", "x{1x}"]),
)
def test_another_replacement_string_is_found_where_gnu_finds_it(
    home: Path, rows: list[bytes], replacement: str, command: str
) -> None:
    command = command.replace("R", replacement)
    template = Template.parse(command.encode(), replacement=replacement.encode())
    rows = [row + b"x" for row in rows]
    assert ours(template, [[row] for row in rows]) == gnu(home, ["-I", replacement], command, rows)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(items | st.sampled_from([b"", b"-n", b"--help", b"\\t", b"a b"]), max_size=4),
    st.sampled_from(
        ["echo {}", "echo", "printf '%s.' a{}b {2}", "/bin/echo x={} '{ a' {#}", "env A=1 echo {}"]
    ),
    st.sampled_from(["one", "context"]),
)
def test_words_run_without_a_shell_do_what_the_shell_would_do(
    args: list[bytes], command: str, mode: Mode
) -> None:
    rendered = Template.parse(command.encode(), mode=mode).render(args, seq=3, slot=1)
    text = Template.parse(command.encode(), mode=mode, functions=None).render(args, seq=3, slot=1)
    assert text.script is not None
    if rendered.argv is None:
        assert rendered.script == text.script
        return
    plain = subprocess.run(rendered.argv, capture_output=True, check=False, timeout=COMMAND_MAX_S)
    for shell in ("bash", "dash"):
        through = subprocess.run(
            [shell, "-c", text.script], capture_output=True, check=False, timeout=COMMAND_MAX_S
        )
        assert (plain.returncode, plain.stdout) == (through.returncode, through.stdout)
