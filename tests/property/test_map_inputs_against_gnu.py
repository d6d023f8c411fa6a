"""`covey map` makes of its input what the real GNU parallel makes of it."""

import io
import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from covey.cli.map.grammar import parse_map
from covey.cli.map.inputs import Inputs
from covey.testing.waiting import COMMAND_MAX_S

PARALLEL = shutil.which("parallel")
pytestmark = pytest.mark.skipif(PARALLEL is None, reason="GNU parallel is not installed")
#: Each example starts one GNU parallel (about 0.1 s).
SLOW = settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
values = st.text("ab ,'/.", max_size=6)
lists = st.lists(values, max_size=5)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    quiet = tmp_path / ".parallel"
    quiet.mkdir(exist_ok=True)
    (quiet / "will-cite").touch()
    return tmp_path


def gnu(home: Path, argv: list[str], stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        [str(PARALLEL), "-k", "--dry-run", *argv],
        input=stdin,
        capture_output=True,
        check=False,
        cwd=home,
        env={**os.environ, "HOME": str(home), "SHELL": "/bin/bash"},
        timeout=COMMAND_MAX_S,
    )
    return done.stdout


def ours(argv: list[str], stdin: bytes = b"", *, slots: int = 2) -> bytes:
    plan = parse_map(argv)
    with Inputs(plan, io.BytesIO(stdin)) as inputs:
        template = plan.template(inputs.names)
        return b"".join(
            template.command_text(task.args, task.seq, 1) + b"\n"
            for task in inputs.tasks(template, slots=slots, rng=random.Random(1))
        )


@SLOW
@given(
    st.lists(st.tuples(st.booleans(), lists), min_size=1, max_size=4),
    st.sampled_from([[], ["-N2"], ["-n3"], ["-r"], ["--header", ":"]]),
)
def test_sources_on_the_command_line_are_combined_as_gnu_combines_them(
    home: Path, sources: list[tuple[bool, list[str]]], options: list[str]
) -> None:
    if options == ["--header", ":"]:
        sources = [(linked, [f"n{at}", *row]) for at, (linked, row) in enumerate(sources)]
    words: list[str] = []
    for at, (linked, row) in enumerate(sources):
        words += [":::+" if linked and at else ":::", *row]
    argv = [*options, "echo {} {1} {2}", *words]
    if sum(1 for _, row in sources if row) or len(sources) == 1:
        assert ours(argv) == gnu(home, argv)


@SLOW
@given(st.lists(st.lists(values, min_size=1, max_size=5), min_size=2, max_size=3))
def test_linked_sources_begin_again_as_gnus_do(home: Path, sources: list[list[str]]) -> None:
    words = list(itertools.chain.from_iterable((":::", *row) for row in sources))
    argv = ["--link", "echo {2} {1}", *words]
    assert ours(argv) == gnu(home, argv)


@SLOW
@given(
    st.lists(values, max_size=12),
    st.sampled_from(["\n", "\0"]),
    st.booleans(),
    st.sampled_from(
        [
            ["echo"],
            ["--colsep", ",", "echo {2} {1} {3.}"],
            ["--colsep", ",", "echo"],
            ["--colsep", "[ ,]+", "-N2", "echo {1} {2} {3}"],
            ["--header", ":", "--colsep", ",", "echo {1} {}"],
            ["-r", "echo {/} {//}"],
            ["-N3", "echo {1} {3}"],
        ]
    ),
)
def test_lines_of_standard_input_are_read_as_gnu_reads_them(
    home: Path, rows: list[str], end: str, is_ended: bool, argv: list[str]
) -> None:
    text = end.join(rows) + (end if is_ended and rows else "")
    words = (["-0"] if end == "\0" else []) + argv
    assert ours(words, text.encode()) == gnu(home, words, text.encode())


@SLOW
@given(
    st.integers(0, 40),
    st.integers(1, 5),
    st.sampled_from([["-X"], ["-m"], ["-X", "-N4"], ["-m", "-N4"], ["-m", "-n3"]]),
    st.sampled_from(["echo", "echo a{}b {1}"]),
)
def test_lines_are_filled_and_spread_over_the_slots_as_gnus_are(
    home: Path, count: int, slots: int, options: list[str], command: str
) -> None:
    text = b"".join(b"%d\n" % n for n in range(count))
    argv = [*options, f"-j{slots}", command]
    assert ours(argv, text, slots=slots) == gnu(home, argv, text)


@SLOW
@given(lists, lists, lists)
def test_files_are_sources_in_the_order_of_gnu(
    home: Path, first: list[str], second: list[str], third: list[str]
) -> None:
    for name, rows in (("f1", first), ("f2", second), ("f3", third)):
        (home / name).write_text("".join(row + "\n" for row in rows))
    files = [str(home / name) for name in ("f1", "f2", "f3")]
    for argv in (
        ["-a", files[0], "echo {3} {1}", "::::", files[1], ":::", "x", "y", "::::", files[2]],
        ["echo {3} {1}", "::::", files[0], files[1], ":::", "x", "y", "::::+", files[2]],
    ):
        assert ours(argv) == gnu(home, argv)


@SLOW
@given(
    st.integers(1, 3000),
    st.sampled_from(["10", "100", "1k", "1K", "7000"]),
    st.booleans(),
)
def test_pipe_cuts_blocks_where_gnu_cuts_them(
    home: Path, count: int, block: str, is_ended: bool
) -> None:
    text = b"".join(b"%d\n" % (n * n) for n in range(count)).removesuffix(
        b"" if is_ended else b"\n"
    )
    plan = parse_map(["--pipe", "--block", block, "wc", "-c"])
    with Inputs(plan, io.BytesIO(text)) as inputs:
        parts = [task.stdin or b"" for task in inputs.tasks(plan.template())]
    assert b"".join(parts) == text
    if len(parts) <= 60:
        done = subprocess.run(
            [str(PARALLEL), "-k", "--pipe", "--block", block, "wc", "-c"],
            input=text,
            capture_output=True,
            check=True,
            env={**os.environ, "HOME": str(home)},
            timeout=COMMAND_MAX_S,
        )
        assert [len(part) for part in parts] == [int(n) for n in done.stdout.split()]
