"""The ledger on a machine that fails: writers killed, disks full, nobody allowed to write."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.ledgers import a_job, open_ledger, outcomes, record, write_job

from covey.errors import CoveyError, DiskFull, LedgerError
from covey.scheduler.ledger import Items, Ledger
from covey.scheduler.opening import connect_writer
from covey.scheduler.reader import LedgerReader
from covey.scheduler.view import LedgerView
from covey.testing.ending import ended, join, line_of
from covey.testing.waiting import COMMAND_MAX_S, WAIT_MAX_S, wait_until

#: Writes tasks for ever, with large or small output; prints each number once it is durable.
_WRITER = """
import sys, threading
from pathlib import Path
from covey.scheduler.ledger import Ledger, Items
from tests.ledgers import a_job, outcomes
path, first = Path(sys.argv[1]), int(sys.argv[2])
def told(ids):
    sys.stdout.write("".join(f"{i}\\n" for i in ids)); sys.stdout.flush()
ledger = Ledger.open(path, post=lambda call: call())
ledger.raise_term()
ledger.write([a_job()])
room = threading.Semaphore(200)
at = first
while True:
    ids = list(range(at, at + 1 + at % 13))
    room.acquire()
    out = b"%d " % at * (2000 if at % 5 == 0 else 1)
    # The batch before comes again, as after a lost acknowledgement.
    again = list(range(max(1, at - 5), at))
    ledger.write(
        [Items(1, at, [b"item %d" % i for i in ids]), outcomes(ids, out=out), outcomes(again)],
        lambda ids=ids: (told(ids), room.release()),
    )
    at = ids[-1] + 1
"""


@pytest.mark.timeout(120)
def test_a_writer_killed_at_random_moments_keeps_all_that_it_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    rng = random.Random(4)
    confirmed: set[int] = set()
    first = 1
    for _ in range(20):
        writer = subprocess.Popen(
            [sys.executable, "-c", _WRITER, path, str(first)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{Path.cwd()}:{Path.cwd() / 'src'}"},
        )
        with ended(writer):
            lines = [line_of(writer) for _ in range(rng.randrange(1, 1500))]
            writer.send_signal(signal.SIGKILL)
            lines += writer.communicate(timeout=WAIT_MAX_S)[0].decode().splitlines(keepends=True)
        confirmed |= {int(line) for line in lines if line.endswith("\n")}
        with_gap = _check(path, confirmed)
        first = with_gap + 1
    assert len(confirmed) > 2000
    assert Ledger.kept_as is None


def _check(path: Path, confirmed: set[int]) -> int:
    reader = LedgerReader(path)
    seen: list[int] = []
    seq = 0
    while rows := reader.outcomes(1, seq):
        seen += [row.task for row in rows]
        seq = rows[-1].seq
        assert all(row.out and row.payload == b"item %d" % row.task for row in rows)
    assert len(seen) == len(set(seen)), "nothing twice"
    assert confirmed <= set(seen), "nothing lost"
    job = reader.job(1)
    assert (job.done, job.succeeded) == (len(seen), len(seen))
    reader.close()
    return max(seen)


@contextmanager
def a_small_disk(size: str) -> Generator[Path]:
    """A file system of `size`; needs root."""
    mount = Path(tempfile.mkdtemp(prefix="covey-disk-"))
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "none", mount],
        check=False,
        capture_output=True,
        timeout=COMMAND_MAX_S,
    )
    if done.returncode:
        mount.rmdir()
        pytest.skip(f"a small disk needs root: {done.stderr.decode().strip()}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", mount], check=True, timeout=COMMAND_MAX_S)
        mount.rmdir()


def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again() -> None:
    with a_small_disk("6m") as disk:
        told: list[CoveyError | None] = []
        ledger = Ledger.open(disk / "ledger.db", post=lambda call: call(), on_error=told.append)
        record(ledger, a_job(), Items(1, 1, [b"x"] * 100))
        ballast = disk / "ballast"
        ballast.write_bytes(b"\0" * (os.statvfs(disk).f_bavail - 20) * 4096)
        durable: list[int] = []
        for task in range(1, 101):
            ledger.write(
                [outcomes([task], out=b"o" * (50_000 if task % 7 == 0 else 3000))],
                lambda task=task: durable.append(task),
            )
        wait_until(lambda: told)
        assert isinstance(told[0], DiskFull)
        assert str(disk) in str(told[0])
        assert len(durable) < 100
        reader = LedgerReader(ledger.path)
        assert reader.job(1).done == len(durable), "what is not durable is not there"
        ballast.unlink()
        wait_until(lambda: len(durable) == 100, describe=lambda: durable)
        assert told[-1] is None
        assert [row.task for row in reader.outcomes(1)] == list(range(1, 101))
        assert all(len(row.out) >= 3000 for row in reader.outcomes(1))
        reader.close()
        ledger.close()


def test_closing_on_a_full_disk_says_that_something_was_not_written() -> None:
    with a_small_disk("2m") as disk:
        ledger = open_ledger(disk / "ledger.db")
        record(ledger, a_job())
        (disk / "ballast").write_bytes(b"\0" * (os.statvfs(disk).f_bavail - 3) * 4096)
        ledger.write([Items(1, 1, [b"x" * 4000] * 100)])
        with pytest.raises(DiskFull, match="free space"):
            ledger.close()


def test_a_disk_without_room_for_an_empty_ledger_is_one_sentence() -> None:
    with a_small_disk("64k") as disk:
        (disk / "ballast").write_bytes(b"\0" * (os.statvfs(disk).f_bavail - 2) * 4096)
        with pytest.raises(DiskFull, match="free space"):
            Ledger.open(disk / "ledger.db", post=lambda call: call())


@contextmanager
def read_only(directory: Path) -> Generator[None]:
    """Nobody may write there, not even root."""
    done = subprocess.run(
        ["mount", "--bind", directory, directory], check=False, timeout=COMMAND_MAX_S
    )
    if done.returncode:
        pytest.skip("a read-only mount needs root")
    subprocess.run(["mount", "-o", "remount,ro,bind", directory], check=True, timeout=COMMAND_MAX_S)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True, timeout=COMMAND_MAX_S)


def test_a_ledger_that_nobody_may_write_can_be_read(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_job(state / "ledger.db", 1)
    with read_only(state):
        view = LedgerView(state)
        assert [row.task for row in view.outcomes(1)] == [1, 2, 3]
        with pytest.raises(LedgerError, match="check who owns"):
            Ledger.open(state / "ledger.db", post=lambda call: call())


def test_a_ledger_whose_writer_was_killed_can_be_read_where_nobody_may_write(
    tmp_path: Path,
) -> None:
    state = tmp_path / "state"
    ledger = open_ledger(state / "ledger.db")
    record(ledger, a_job(), Items(1, 1, [b"x"] * 3), outcomes([1, 2, 3], out=b"o" * 9000))
    # As it lies after a kill: the journal holds everything, its index is gone.
    killed = tmp_path / "killed"
    shutil.copytree(state, killed)
    (killed / "ledger.db-shm").unlink()
    ledger.close()
    assert (killed / "ledger.db-wal").stat().st_size > 0
    with read_only(killed):
        view = LedgerView(killed)
        assert [row.task for row in view.outcomes(1)] == [1, 2, 3]
        assert view.output(1, 3)[0] == b"o" * 9000


def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with read_only(tmp_path), pytest.raises(LedgerError, match="set COVEY_HOME"):
        Ledger.open(tmp_path / "state" / "ledger.db", post=lambda call: call())


def test_many_processes_may_begin_the_same_ledger_at_once(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom pathlib import Path\nfrom covey.scheduler.opening import connect_writer\n"
        "sys.stdin.read()\nconnect_writer(Path(sys.argv[1])).close()"
    )
    for attempt in range(4):
        path = tmp_path / str(attempt) / "ledger.db"
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", script, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(6)
        ]
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.close()
            racer.stdin = None
        errors = [racer.communicate(timeout=100)[1].decode() for racer in racers]
        assert errors == [""] * 6


def test_a_ledger_waits_for_whoever_begins_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    connect_writer(path).close()
    # As it lies before the first of them has set the journal, and with that lock held.
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
    release.start()
    db = connect_writer(path)
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    db.close()
    join(release)
    other.close()
