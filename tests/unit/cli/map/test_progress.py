"""Progress: a bar on a terminal, lines elsewhere, nothing with --quiet."""

import io

from covey.cli.map.grammar import parse_map
from covey.cli.map.progress import Counts, Progress, summary
from covey.client.whereabouts import where_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def progress(stream: io.StringIO, *argv: str) -> Progress:
    return Progress(parse_map([*argv, "x"]), stream, "on this machine, 2 slots", now=0.0)


def test_the_first_line_says_where_the_job_runs() -> None:
    stream = io.StringIO()
    progress(stream)
    assert stream.getvalue() == "covey: on this machine, 2 slots\n"
    assert f"on {where_text(3, 24, is_private=False)}" == "on 3 machines, 24 slots"
    assert f"on {where_text(1, 1, is_private=True)}" == "on this machine, 1 slot"


def test_without_a_terminal_there_is_a_line_every_few_seconds() -> None:
    stream = io.StringIO()
    shown = progress(stream)
    for tenth in range(120):
        shown.update(Counts(tenth, 1, running=2, total=240), tenth / 10)
    lines = stream.getvalue().splitlines()[1:]
    assert len(lines) == 2
    assert lines[0] == "covey: 50/240 21%  1 failed  2 running  10.0/s  ETA 19 s"


def test_a_terminal_gets_a_bar_that_can_be_taken_away() -> None:
    stream = Terminal()
    shown = progress(stream)
    shown.update(Counts(1, 0, running=1, total=2), 1.0)
    assert "[############------------]  1/2 50%" in stream.getvalue()
    shown.hide()
    assert stream.getvalue().endswith("\r\033[K")
    shown.finish("2 done")
    assert stream.getvalue().endswith("covey: 2 done\n")


def test_without_a_total_there_is_neither_share_nor_eta() -> None:
    stream = io.StringIO()
    shown = progress(stream, "--eta")
    shown.update(Counts(10, 0, running=1), 5.0)
    assert stream.getvalue().splitlines()[1] == "covey: 10 done  1 running  2/s  0.50 s each"


def test_quiet_says_nothing_but_what_matters() -> None:
    stream = io.StringIO()
    shown = progress(stream, "--quiet")
    shown.update(Counts(1, 0, total=2), 100.0)
    shown.finish("2 done")
    assert stream.getvalue() == ""
    shown.note("stopping")
    assert stream.getvalue() == "covey: stopping\n"


def test_a_closed_standard_error_does_not_end_the_job() -> None:
    stream = io.StringIO()
    shown = progress(stream)
    stream.close()
    shown.finish("done")


def test_the_summary_counts_and_says_where_to_look() -> None:
    assert summary(Counts(1500, 3, total=1500), 10.0, job=7, joblog=None) == (
        "1,500 done, 3 failed in 10 s (150/s) · see: covey joblog 7"
    )
    assert summary(Counts(1, 0, total=3), 0.5, job=None, joblog="log") == (
        "1 done, 2 not run in 0.50 s (2/s) · joblog: log"
    )
