"""The joblog: written in GNU parallel's columns, and what --resume makes of one."""

from pathlib import Path

import pytest

from covey.cli.map.grammar import parse_map
from covey.cli.map.joblog import HEADER, JoblogWriter, joblog_line, read_joblog
from covey.cli.map.rows import Logged
from covey.errors import UsageError


def task(seq: int, exitval: int = 0, signal: int = 0, command: bytes = b"x") -> Logged:
    return Logged(seq, ":", 1795173394.2881, 0.0014, 0, 2, exitval, signal, command, [], b"", b"")


def test_a_line_has_gnus_columns() -> None:
    assert joblog_line(task(2, 3, command=b"echo 'a\nb'")) == (
        b"2\t:\t1795173394.288\t     0.001\t0\t2\t3\t0\techo 'a\0b'\n"
    )


def test_a_joblog_begins_anew_or_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for append, lines in ((False, 1), (True, 2), (False, 1)):
        writer = JoblogWriter(path, append=append)
        writer.write(task(1))
        writer.close()
        assert path.read_bytes().count(b"\n") == 1 + lines
        assert path.read_bytes().startswith(HEADER)


def test_each_line_is_in_the_file_after_a_flush(tmp_path: Path) -> None:
    writer = JoblogWriter(tmp_path / "log", append=False)
    writer.write(task(1))
    writer.flush()
    assert len((tmp_path / "log").read_bytes().splitlines()) == 2
    writer.close()


def test_a_line_cut_by_a_crash_does_not_count_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(HEADER + joblog_line(task(1)) + b"2\t:\t1.0\t1.0\t0\t0\t0\t0\tec")
    assert read_joblog(path).seen == {1}
    writer = JoblogWriter(path, append=True)
    writer.write(task(3))
    writer.close()
    assert {1, 3} <= read_joblog(path).seen


def test_resume_leaves_out_what_ran_and_resume_failed_what_succeeded(tmp_path: Path) -> None:
    path = tmp_path / "log"
    rows = [task(1), task(3, -1), task(4, 0, 9), task(3), task(1, 2), task(6, 1, command=b"a\nb")]
    path.write_bytes(HEADER + b"".join(map(joblog_line, rows)) + b"garbage\n")
    log = read_joblog(path)
    assert log.skips(parse_map(["--resume", "--joblog", "l", "x"])) == {1, 3, 4, 6}
    assert log.skips(parse_map(["--resume-failed", "--joblog", "l", "x"])) == {1, 3}
    assert log.failed == {4: b"x", 6: b"a\nb"}


def test_a_joblog_that_does_not_exist_is_empty(tmp_path: Path) -> None:
    assert read_joblog(tmp_path / "none").seen == set()


def test_a_joblog_that_cannot_be_written_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the joblog"):
        JoblogWriter(tmp_path / "no" / "log", append=False)
    with pytest.raises(UsageError, match="cannot read the joblog"):
        read_joblog(tmp_path)


def test_a_file_of_another_kind_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_bytes(b"root:x:0:0\nmine\n")
    with pytest.raises(UsageError, match="no joblog"):
        read_joblog(path)
    with pytest.raises(UsageError, match="no joblog"):
        JoblogWriter(path, append=True)
    assert path.read_bytes() == b"root:x:0:0\nmine\n"
