"""Whether the server of a record is the one that runs."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from covey.bus.record import (
    NAME,
    BusRecord,
    is_running,
    read_record,
    start_time,
    write_private,
    write_record,
)
from covey.testing.ending import end

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")


def _ours(**changes: object) -> BusRecord:
    record = BusRecord(
        url="nats://127.0.0.1:4999",
        user="account",
        password_file="/nowhere",
        pid=os.getpid(),
        started=start_time(os.getpid()) or 0,
    )
    return replace(record, **changes)


def test_a_record_comes_back_as_written(tmp_path: Path) -> None:
    write_record(tmp_path, _ours())
    assert read_record(tmp_path) == _ours()


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"url": "x"}', '"x"', "null"])
def test_what_is_no_record_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / NAME).write_text(text)
    assert read_record(tmp_path) is None


@needs_proc
def test_the_process_of_the_record_is_adopted() -> None:
    assert is_running(_ours())


@needs_proc
def test_another_process_under_the_same_number_is_not_adopted() -> None:
    assert not is_running(_ours(started=_ours().started - 1))


@needs_proc
def test_a_dead_process_is_not_adopted() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = _ours(pid=child.pid, started=start_time(child.pid) or 0)
    assert is_running(record)
    end(child)
    assert not is_running(record)


def test_a_private_file_is_0600_and_replaces_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old and longer")
    path.chmod(0o644)
    write_private(path, "new")
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_password_is_read_from_its_own_file(tmp_path: Path) -> None:
    write_private(tmp_path / "password", "secret\n")
    assert _ours(password_file=str(tmp_path / "password")).password() == "secret"
