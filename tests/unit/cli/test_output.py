"""What commands print: tables, sizes, and bytes in JSON."""

import base64
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from covey.cli.output import (
    Column,
    counted,
    has_colour,
    print_json,
    print_json_rows,
    printable,
    size,
    table,
    text_or_base64,
)

COLUMNS = [Column("JOB", right=True), Column("STATE"), Column("COMMAND")]


def test_a_table_is_aligned_and_leaves_no_blanks_at_line_ends() -> None:
    text = table(COLUMNS, [["1", "succeeded", "true"], ["12", "failed", ""]])
    assert text.splitlines() == [
        "JOB  STATE      COMMAND",
        "  1  succeeded  true",
        " 12  failed",
    ]


def test_only_the_last_column_is_cut_to_the_terminal() -> None:
    lines = table(COLUMNS, [["1", "succeeded", "x" * 200]], width=40).splitlines()
    assert len(lines[1]) == 40
    assert lines[1].endswith("x…")
    assert len(table(COLUMNS, [["1", "succeeded", "x" * 200]]).splitlines()[1]) == 216


def test_a_hostile_name_can_neither_break_a_line_nor_move_the_cursor() -> None:
    text = table(COLUMNS, [["1", "failed", "a\nb\x1b[2J\u202ec"]])
    assert len(text.splitlines()) == 2
    assert "\x1b" not in text
    assert r"a\nb\x1b[2J\u202ec" in text


def test_bytes_that_are_no_utf8_are_shown_escaped() -> None:
    assert printable(b"caf\xe9") == r"caf\xe9"
    assert printable("caf\udce9") == r"caf\udce9"
    assert printable("日本") == "日本"


def test_colour_marks_states_without_shifting_columns() -> None:
    painted = table(COLUMNS, [["1", "failed", "x"]], colour=True)
    assert "\033[31mfailed\033[0m" in painted
    plain = table(COLUMNS, [["1", "failed", "x"]])
    for code in ("\033[1m", "\033[31m", "\033[0m"):
        painted = painted.replace(code, "")
    assert painted == plain


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("env", "wanted"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]
)
def test_colour_is_for_terminals_unless_no_color_says_no(env: dict[str, str], wanted: bool) -> None:
    assert has_colour(Terminal(), env) is wanted
    assert has_colour(io.StringIO(), env) is False


@given(st.binary())
def test_any_bytes_come_back_out_of_json(data: bytes) -> None:
    value: str | dict[str, str] = json.loads(json.dumps(text_or_base64(data)))
    back = base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode()
    assert back == data


def test_text_out_of_file_names_keeps_its_bytes() -> None:
    assert text_or_base64("caf\udce9") == {"base64": base64.b64encode(b"caf\xe9").decode()}
    assert text_or_base64("café") == "café"


def test_json_is_one_value_with_the_schema_first(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"job": 3})
    assert capsys.readouterr().out == '{"schema": 1, "job": 3}\n'


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_long_array_is_written_row_by_row_as_one_value(
    count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    print_json_rows({"job": 3}, "tasks", ({"task": i} for i in range(1, count + 1)))
    value = json.loads(capsys.readouterr().out)
    assert value == {"schema": 1, "job": 3, "tasks": [{"task": i} for i in range(1, count + 1)]}


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (512, "512 B"), (1500, "1.5 kB"), (250_000_000, "250 MB"), (3.2e9, "3.2 GB")],
)
def test_sizes_are_short(number: float | None, text: str) -> None:
    assert size(number) == text


def test_counts_agree_with_their_noun() -> None:
    assert counted(1, "machine") == "1 machine"
    assert counted(1200, "slot") == "1,200 slots"
