"""Tasks out of input sources; combinations against GNU parallel itself see tests/property."""

import io
import itertools
import random
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from covey.cli.map.grammar import parse_map
from covey.cli.map.inputs import Input, Inputs, waiting_hint
from covey.errors import UsageError
from covey.model.context import decode_command
from covey.model.template import Template


def tasks(argv: list[str], stdin: bytes = b"") -> list[Input]:
    plan = parse_map(argv)
    with Inputs(plan, io.BytesIO(stdin)) as inputs:
        return list(inputs.tasks(plan.template(inputs.names), rng=random.Random(7)))


def arguments(argv: list[str], stdin: bytes = b"") -> list[list[bytes]]:
    return [task.args for task in tasks(argv, stdin)]


def test_tasks_are_numbered_from_one_in_the_order_of_the_input() -> None:
    assert tasks(["x"], b"a\nb\n") == [Input(1, [b"a"], None), Input(2, [b"b"], None)]


def test_an_item_may_hold_any_byte() -> None:
    every = bytes(range(1, 256))
    assert arguments(["-0", "x"], every + b"\0") == [[every]]
    assert arguments(["x", ":::", "a\nb"]) == [[b"a\nb"]]


def test_an_empty_list_is_no_task() -> None:
    assert arguments(["x"]) == []
    assert arguments(["x", ":::"]) == []


def test_minus_n_0_runs_once_for_each_item_without_it() -> None:
    plan = parse_map(["-N0", "echo", ":::", "a", "b"])
    with Inputs(plan) as inputs:
        found = list(inputs.tasks(plan.template()))
    assert [plan.template().command_text(task.args, 1, 1) for task in found] == [b"echo "] * 2


def test_skipped_tasks_keep_the_numbers_of_the_others() -> None:
    plan = parse_map(["x", ":::", "a", "b", "c"])
    with Inputs(plan) as inputs:
        left = list(inputs.tasks(plan.template(), skip=lambda seq, args: args == [b"b"]))
    assert [task.seq for task in left] == [1, 3]


def test_shuf_gives_every_task_once_in_another_order() -> None:
    items = [str(n) for n in range(50)]
    found = [args[0].decode() for args in arguments(["--shuf", "x", ":::", *items])]
    assert found != items
    assert sorted(found, key=int) == items


def test_a_file_that_cannot_be_read_is_known_before_anything_runs(tmp_path: Path) -> None:
    good = tmp_path / "good"
    good.write_text("a\n")
    for bad in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="cannot read the item file"):
            Inputs(parse_map(["x", "::::", str(good), str(bad)]))


def test_pipe_gives_whole_lines_to_each_task() -> None:
    text = b"".join(b"line %d\n" % n for n in range(1000)) + b"last"
    found = tasks(["--pipe", "--block", "1k", "wc"], text)
    assert b"".join(task.stdin or b"" for task in found) == text
    assert all((task.stdin or b"").endswith(b"\n") for task in found[:-1])
    assert all(len(task.stdin or b"") <= 1000 for task in found)
    assert all(task.args == [] for task in found)


def test_pipe_gives_a_record_longer_than_a_block_whole() -> None:
    text = b"x" * 5000 + b"\nshort\n"
    found = tasks(["--pipe", "--block", "1k", "wc"], text)
    assert [task.stdin for task in found] == [b"x" * 5000 + b"\n", b"short\n"]


def test_pipe_counts_records_with_minus_n() -> None:
    found = tasks(["--pipe", "-N2", "wc"], b"a\nb\nc\n")
    assert [task.stdin for task in found] == [b"a\nb\n", b"c\n"]


def test_lines_are_filled_up_to_their_limit() -> None:
    text = b"".join(b"%d\n" % n for n in range(50_000))
    plan = parse_map(["-X", "echo a{}"])
    with Inputs(plan, io.BytesIO(text)) as inputs:
        template = plan.template()
        found = list(inputs.tasks(template))
    lengths = [len(template.command_text(task.args, 1, 1)) for task in found]
    assert max(lengths) <= 60_000
    assert min(lengths[:-1]) > 59_000
    assert sum(len(task.args) for task in found) == 50_000


def test_a_payload_carries_the_number_only_when_it_must() -> None:
    task = Input(41, [b"a"], b"in")
    plain, numbered = Template.parse(b"x"), Template.parse(b"x", numbered=True)
    assert decode_command(task.payload(plain)) == ([b"a"], b"in")
    assert decode_command(task.payload(numbered)) == ([b"a", b"41"], b"in")


def test_a_terminal_gets_a_hint_only_where_items_are_read_from_it() -> None:
    assert waiting_hint(parse_map(["x"]), is_terminal=True) is not None
    assert waiting_hint(parse_map(["x"]), is_terminal=False) is None
    assert waiting_hint(parse_map(["x", ":::", "a"]), is_terminal=True) is None


class Endless(io.RawIOBase):
    """Standard input that never ends, and gives little at a time."""

    def __init__(self) -> None:
        self.reads = 0

    def read1(self, size: int, /) -> bytes:
        self.reads += 1
        return b"item %d\n" % self.reads


def test_items_run_as_they_come_and_are_not_held() -> None:
    plan = parse_map(["x", "::::", "-", ":::", "a", "b"])
    source = Endless()
    with Inputs(plan, source) as inputs:
        stream: Iterator[Input] = inputs.tasks(plan.template())
        assert next(stream).args == [b"item 1", b"a"]
        assert source.reads <= 3
        tracemalloc.start()
        for _ in itertools.islice(stream, 20_000):
            pass
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak_bytes < 200_000
