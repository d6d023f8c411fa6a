"""What is printed of tasks as they end: whole, in order, tagged, line by line, or as JSON."""

import io
import json
from collections.abc import Iterable
from pathlib import Path

import pytest

from covey.cli.map import output as map_output
from covey.cli.map.grammar import parse_map
from covey.cli.map.joblog import JoblogWriter
from covey.cli.map.output import Outlets, Printer, tagged
from covey.cli.map.results import open_results
from covey.model.context import encode_command
from covey.model.task import OutcomeState
from covey.scheduler.rows import OutcomeRow


def row(
    task: int,
    *args: bytes,
    out: bytes = b"",
    err: bytes = b"",
    state: OutcomeState = OutcomeState.SUCCEEDED,
    exit: int = 0,
    signal: int = 0,
    out_size: int | None = None,
) -> OutcomeRow:
    return OutcomeRow(
        seq=task,
        job=1,
        task=task,
        attempt=1,
        term=1,
        n=1,
        agent="lab1",
        slot=1,
        state=state,
        exit=exit,
        signal=signal,
        started=10.0,
        ended=10.5,
        cpu_s=0.0,
        rss_bytes=0,
        out=out,
        err=err,
        value=b"",
        out_size=len(out) if out_size is None else out_size,
        err_size=len(err),
        error=None,
        error_pickle=b"",
        payload=encode_command(list(args)),
    )


class Desk:
    """A printer and what it printed."""

    def __init__(self, *argv: str, joblog: Path | None = None) -> None:
        plan = parse_map([*argv, "echo"])
        self.out, self.err = io.BytesIO(), io.BytesIO()
        self.printer = Printer(
            plan,
            plan.template(),
            joblog=JoblogWriter(joblog, append=plan.is_numbered) if joblog else None,
            results=open_results(plan, ()),
            outlets=Outlets(self.out, self.err),
        )

    def rows(self, rows: Iterable[OutcomeRow]) -> bytes:
        at = self.out.tell()
        self.printer.rows(rows)
        return self.out.getvalue()[at:]


def test_each_task_is_printed_whole_as_it_ends() -> None:
    desk = Desk()
    assert desk.rows([row(2, b"b", out=b"2\n", err=b"e"), row(1, b"a", out=b"1")]) == b"2\n1"
    assert desk.err.getvalue() == b"e"


def test_keep_order_holds_back_what_comes_too_early() -> None:
    desk = Desk("-k")
    assert desk.rows([row(2, b"b", out=b"2\n"), row(3, b"c", out=b"3\n")]) == b""
    assert desk.rows([row(1, b"a", out=b"1\n")]) == b"1\n2\n3\n"
    assert desk.rows([row(4, b"a", out=b"4\n")]) == b"4\n"


def test_what_keep_order_holds_is_printed_at_the_end_when_a_task_never_ended() -> None:
    desk = Desk("-k")
    assert desk.rows([row(3, out=b"3\n"), row(2, out=b"2\n")]) == b""
    desk.printer.close()
    assert desk.out.getvalue() == b"2\n3\n"


def test_keep_order_holds_much_output_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_output, "HELD_MAX_BYTES", 10)
    desk = Desk("-k")
    late = [row(n, out=b"%d " % n * 5) for n in range(2, 9)]
    assert desk.rows(late) == b""
    assert desk.rows([row(1, out=b"1 ")]) == b"1 " + b"".join(one.out for one in late)
    desk.printer.close()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", b""),
        (b"a\nb\n", b"t\ta\nt\tb\n"),
        (b"a\n\nb", b"t\ta\nt\t\nt\tb"),
        (b"\n", b"t\t\n"),
    ],
)
def test_a_tag_begins_each_line(data: bytes, text: bytes) -> None:
    assert tagged(data, b"t") == text


def test_tags_are_the_arguments_and_mark_both_streams() -> None:
    desk = Desk("--tag")
    assert desk.rows([row(1, b"x", b"y z", out=b"1\n2", err=b"e\n")]) == b"x y z\t1\nx y z\t2"
    assert desk.err.getvalue() == b"x y z\te\n"


def test_line_buffer_prints_whole_lines_while_the_task_runs_and_the_rest_at_its_end() -> None:
    desk = Desk("--lb", "--tag")
    desk.printer.partial(1, "out", b"one\ntw", [b"a"])
    desk.printer.partial(2, "out", b"uno\n", [b"b"])
    desk.printer.partial(1, "out", b"o\nthr", [b"a"])
    assert desk.out.getvalue() == b"a\tone\nb\tuno\na\ttwo\n"
    assert desk.rows([row(1, b"a", out=b"one\ntwo\nthree\nend")]) == b"a\tthree\na\tend"
    assert desk.rows([row(2, b"b", out=b"uno\n")]) == b""


def test_line_buffer_counts_from_the_end_when_the_middle_was_not_kept() -> None:
    desk = Desk("--lb")
    desk.printer.partial(1, "out", b"0123456\n", [b"a"])
    assert desk.rows([row(1, b"a", out=b"01234tail\n", out_size=13)]) == b"tail\n"


def test_line_buffer_bears_loss_and_repetition_of_what_it_is_sent() -> None:
    desk = Desk("--lb")
    desk.printer.partial(1, "out", b"one\n", [], offset=0)
    desk.printer.partial(1, "out", b"one\ntwo\n", [], offset=0)
    desk.printer.partial(1, "out", b"four\n", [], offset=14)
    assert desk.out.getvalue() == b"one\ntwo\n"
    assert desk.rows([row(1, out=b"one\ntwo\nthree\nfour\n")]) == b"three\nfour\n"


def test_line_buffer_begins_again_with_another_attempt() -> None:
    desk = Desk("--lb")
    desk.printer.partial(1, "out", b"first try\n", [], n=1)
    desk.printer.partial(1, "out", b"second\n", [], n=2)
    desk.printer.partial(1, "out", b"ghost\n", [], n=1, offset=10)
    assert desk.out.getvalue() == b"first try\nsecond\n"
    assert desk.rows([row(1, out=b"third\n")._replace(n=3)]) == b"third\n"


def test_line_buffer_does_not_hold_an_endless_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_output, "OPEN_LINE_MAX_BYTES", 4)
    desk = Desk("--lb")
    for at in range(0, 12, 3):
        desk.printer.partial(1, "out", b"abc", [], offset=at)
    assert desk.rows([row(1, out=b"abc" * 4)]) == b"abc" * 4


@pytest.mark.parametrize("printed", range(0, 30, 3))
def test_line_buffer_prints_what_was_kept_of_a_long_output_once(printed: int) -> None:
    whole = b"".join(b"%02d\n" % n for n in range(10))
    desk = Desk("--lb")
    desk.printer.partial(1, "out", whole[:printed], [])
    desk.rows([row(1, out=whole[:9] + whole[-9:], out_size=len(whole))])
    lines = desk.out.getvalue().splitlines()
    assert len(set(lines)) == len(lines)
    assert {b"00", b"01", b"02", b"07", b"08", b"09"} <= set(lines)


def test_in_order_a_resumed_job_does_not_wait_for_what_was_printed_before() -> None:
    desk = Desk("-k")
    desk.printer.printed_before([1, 3])
    assert desk.rows([row(4, out=b"4")]) == b""
    assert desk.rows([row(2, out=b"2")]) == b"24"


def test_line_buffer_in_order_streams_the_task_whose_turn_it_is() -> None:
    desk = Desk("--lb", "-k")
    desk.printer.partial(2, "out", b"two\n", [b"b"])
    desk.printer.partial(1, "out", b"one\n", [b"a"])
    assert desk.out.getvalue() == b"one\n"
    assert desk.rows([row(1, b"a", out=b"one\nend\n")]) == b"end\ntwo\n"
    desk.printer.partial(2, "out", b"more\n", [b"b"])
    assert desk.out.getvalue().endswith(b"two\nmore\n")
    assert desk.rows([row(2, b"b", out=b"two\nmore\n")]) == b""


def test_the_joblog_has_a_line_for_each_task_but_those_that_were_stopped(tmp_path: Path) -> None:
    desk = Desk(joblog=tmp_path / "log")
    desk.rows(
        [
            row(1, b"a b", out=b"xyz"),
            row(2, b"b", state=OutcomeState.FAILED, exit=3),
            row(3, b"c", state=OutcomeState.FAILED, signal=9),
            row(4, b"d", state=OutcomeState.TIMED_OUT),
            row(5, b"e", state=OutcomeState.CANCELLED, signal=15),
        ]
    )
    desk.printer.close()
    lines = (tmp_path / "log").read_text().splitlines()[1:]
    assert [line.split("\t")[5:] for line in lines] == [
        ["3", "0", "0", "echo 'a b'"],
        ["0", "3", "0", "echo b"],
        ["0", "0", "9", "echo c"],
        ["0", "-1", "15", "echo d"],
    ]


def test_resumed_tasks_keep_their_old_numbers(tmp_path: Path) -> None:
    desk = Desk("--resume", "--joblog", "x", "--tag", joblog=tmp_path / "log")
    assert desk.rows([row(1, b"a", b"41", out=b"1\n")]) == b"a\t1\n"
    desk.printer.close()
    assert (tmp_path / "log").read_text().splitlines()[1].split("\t")[::8] == ["41", "echo a"]


def test_json_is_one_object_for_each_task() -> None:
    desk = Desk("--json")
    line = desk.rows([row(1, b"a", out=b"x\n", err=b"\xff", state=OutcomeState.FAILED, exit=2)])
    value = json.loads(line)
    assert line.count(b"\n") == 1
    assert (value["schema"], value["task"], value["state"], value["exit"]) == (1, 1, "failed", 2)
    assert (value["stdout"], value["stderr"]) == ("x\n", {"base64": "/w=="})
    assert value["command"] == "echo a"


def test_a_closed_standard_output_is_told_to_the_caller() -> None:
    class Closed(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise BrokenPipeError

    plan = parse_map(["echo"])
    printer = Printer(plan, plan.template(), outlets=Outlets(Closed(), io.BytesIO()))
    with pytest.raises(BrokenPipeError):
        printer.rows([row(1, out=b"x")])
