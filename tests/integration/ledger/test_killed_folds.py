"""A fold or a prune that is killed at any line is finished by the next one."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.ledgers import write_job

from covey.scheduler.folding import fold
from covey.scheduler.pruning import prune
from covey.scheduler.runs import RunDir
from covey.scheduler.view import LedgerView
from covey.testing.waiting import COMMAND_MAX_S

#: Runs `action` and dies at the `limit`-th line that it executes in the module.
_DIE = """
import os, signal, sys
from pathlib import Path
import covey.scheduler.{module} as module
from covey.scheduler.folding import fold
from covey.scheduler.pruning import prune
state, limit = Path(sys.argv[1]), int(sys.argv[2])
count = 0
def line(frame, event, arg):
    global count
    if event == "line":
        count += 1
        if count == limit:
            os.kill(os.getpid(), signal.SIGKILL)
    return line
def call(frame, event, arg):
    return line if frame.f_code.co_filename == module.__file__ else None
sys.settrace(call)
{action}
"""


def _kill_at_every_line(
    tmp_path: Path,
    prepared: Path,
    module: str,
    action: str,
    check: Callable[[Path], None],
    step: int,
) -> int:
    for deaths, limit in enumerate(range(1, 2000, step)):
        state = tmp_path / "state"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(prepared, state)
        script = _DIE.format(module=module, action=action)
        done = subprocess.run(
            [sys.executable, "-c", script, state, str(limit)], check=False, timeout=COMMAND_MAX_S
        )
        check(state)
        if done.returncode == 0:
            return deaths
        assert done.returncode == -9
    raise AssertionError("it never came to its end")


@pytest.mark.timeout(240)
def test_a_fold_that_is_killed_at_any_line_neither_loses_nor_doubles(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    write_job(prepared / "ledger.db", 50)
    runs = [RunDir.create(prepared) for _ in range(2)]
    for run in runs:
        write_job(run.ledger_path, run.number, tasks=2)
        run.close()
    numbers = [run.number for run in runs]
    wanted = {number: LedgerView(prepared).outcomes(number) for number in numbers}

    def check(state: Path) -> None:
        view = LedgerView(state)
        for again in (False, True):
            if again:
                report = fold(state)
                assert report.problems == []
            assert [job.job for job in view.jobs()] == [50, *numbers]
            for number in numbers:
                assert view.outcomes(number) == wanted[number]
                assert view.output(number, 1) == (b"o" * 10_000, b"")
        assert list((state / "runs").iterdir()) == []

    assert _kill_at_every_line(tmp_path, prepared, "folding", "fold(state)", check, 3) > 30


@pytest.mark.timeout(240)
def test_a_prune_that_is_killed_at_any_line_is_finished_by_the_next(tmp_path: Path) -> None:
    prepared = tmp_path / "prepared"
    write_job(prepared / "ledger.db", 50)

    def check(state: Path) -> None:
        assert all(job.job == 50 for job in LedgerView(state).jobs())
        prune(state, 1.0, now=1000.0)
        assert LedgerView(state).jobs() == []
        assert list((state / "jobs").iterdir()) == []

    action = "prune(state, 1.0, now=1000.0)"
    assert _kill_at_every_line(tmp_path, prepared, "pruning", action, check, 3) > 3
