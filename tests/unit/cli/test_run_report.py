"""What `covey run` shows of its results."""

import pytest

from covey.cli.run.report import exit_code, grouped, how_it_ended, json_value, names_text, summary
from covey.client.errands import End, ErrandResult


def _result(
    machine: str, end: End = End.OK, exit_status: int | None = 0, **rest: object
) -> ErrandResult:
    given = {"signal": 0, "stdout": b"", "stderr": b"", "elapsed_s": 0.1, "reason": ""} | rest
    return ErrandResult(machine, end, exit_status, **given)  # pyright: ignore[reportArgumentType]


def test_equal_results_are_one_group_in_the_order_of_machines():
    results = [
        _result("c", stdout=b"x"),
        _result("b", stdout=b"y"),
        _result("a", stdout=b"x"),
        _result("d", End.FAILED, 1, stdout=b"x"),
    ]
    groups = grouped(results, ["a", "b", "c", "d"])
    assert [group.machines for group in groups] == [("a", "c"), ("b",), ("d",)]
    assert [group.heading for group in groups] == ["a, c (2)", "b", "d · exit 1"]


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (_result("a"), ""),
        (_result("a", End.FAILED, 3), "exit 3"),
        (_result("a", End.FAILED, None, signal=9), "SIGKILL"),
        (_result("a", End.FAILED, None, signal=63), "signal 63"),
        (_result("a", End.TIMED_OUT, None), "timed out"),
        (_result("a", End.UNREACHABLE, None, reason="lost: it died"), "unreachable: lost: it died"),
    ],
)
def test_each_end_has_its_words(result: ErrandResult, text: str):
    assert how_it_ended(result) == text


def test_the_last_line_counts_and_says_what_to_type():
    results = [_result(f"h{n}") for n in range(37)]
    results += [_result("h7x", End.FAILED, 1), _result("h12x", End.FAILED, 2)]
    line = summary(results, "covey run --last-failed -- uptime")
    assert line == "37 ok · 2 failed (h7x, h12x) · again: covey run --last-failed -- uptime"
    assert summary(results[:37], "covey run …") == "37 ok"


def test_machines_that_were_not_reached_are_counted_apart():
    results = [_result("a"), _result("b", End.UNREACHABLE, None), _result("c", End.TIMED_OUT, None)]
    assert summary(results, "again") == "1 ok · 1 timed out (c) · 1 unreachable (b) · again: again"


def test_of_many_names_the_first_are_told():
    assert names_text([f"h{n}" for n in range(30)]).endswith("h10 and 19 more")


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (3, 3), (100, 100), (101, 101), (500, 101)])
def test_the_exit_code_counts_machines(failed: int, code: int):
    results = [_result(f"h{n}", End.FAILED, 1) for n in range(failed)] + [_result("ok")]
    assert exit_code(results) == code


def test_bytes_that_are_no_text_are_not_lost_in_json():
    value = json_value(_result("a", stdout=b"\xff", elapsed_s=None), [b"f"])
    assert value["stdout"] == {"base64": "/w=="}
    assert (value["elapsed_s"], value["files"]) == (None, ["f"])
