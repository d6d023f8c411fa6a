"""Jobs that are private to another process: seen, followed, and cancelled from outside."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.schemas import checked

from covey.cli.logs import AGENT_HERE
from covey.client import private_cancel
from covey.client.private import AGENT
from covey.errors import JobRejected
from covey.scheduler.view import LedgerView
from covey.settings import Settings
from covey.testing.ending import end, ended, line_of

OWNER = Path(__file__).with_name("private_owner.py")
Owner = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def owner(covey: CommandLine) -> Owner:
    """Starts a process that owns a private run with three tasks, one of them done."""

    @contextmanager
    def started(*words: str) -> "Generator[subprocess.Popen[str]]":
        process = subprocess.Popen(
            [sys.executable, str(OWNER), str(covey.home / "default"), *words],
            stdout=subprocess.PIPE,
            text=True,
        )
        with ended(process):
            assert line_of(process) == "1\n"
            yield process

    return started


def test_a_private_run_is_seen_while_its_owner_lives_and_after_its_death(
    covey: CommandLine, owner: Owner
) -> None:
    with owner():
        job = checked("jobs", covey("jobs", "--json").out)["jobs"][0]
        assert (job["state"], job["private"], job["done"]) == ("running", True, 1)
        assert "covey attach 1" in covey("show", "1").out
        assert covey("status").out.endswith("1 job running here: covey jobs\n")
        ended = covey("resume", "1")
        assert ended.err == "covey: job 1 runs — follow it with: covey attach 1\n"
    assert checked("show", covey("show", "1", "--json").out)["next"] == ["covey resume 1"]
    assert "job 1 is interrupted — go on with: covey resume 1\n" in covey("attach", "1").err
    assert covey("logs", "1").out == "done\n"


def test_cancelling_a_private_run_stops_its_owner_and_records_what_was_left(
    covey: CommandLine, owner: Owner
) -> None:
    with owner() as process:
        assert covey("cancel", "1").out == "job 1 cancelled\n"
        assert process.wait(60) == 0
    job = checked("show", covey("show", "1", "--json").out)
    assert (job["state"], job["succeeded"], job["cancelled"]) == ("cancelled", 1, 2)
    assert not job["private"]
    assert [path.name for path in (covey.home / "default" / "runs").iterdir()] == []
    assert covey("cancel", "1").out == "job 1 had ended already (cancelled)\n"


def test_cancelling_an_interrupted_run_needs_no_owner(covey: CommandLine, owner: Owner) -> None:
    with owner() as process:
        end(process)
    value = checked("cancel", covey("cancel", "all", "--json").out)
    assert value["cancelled"] == [{"job": 1, "tasks": [], "state": "cancelled"}]


def test_single_tasks_of_a_private_run_are_not_cancelled_from_outside(
    covey: CommandLine, owner: Owner
) -> None:
    with owner() as process:
        ended = covey("cancel", "1.3")
        assert ended.code == 1
        assert "job 1 is private to its covey map" in ended.err
        assert process.poll() is None


def test_an_owner_that_does_not_let_go_is_named(
    covey: CommandLine, owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_cancel, "STOP_MAX_S", 0.1)
    settings = Settings(home=covey.home)
    with owner("stubborn"):
        row = LedgerView(settings.state_dir).job(1)
        with pytest.raises(JobRejected, match="press Ctrl-C there"):
            private_cancel.cancel_run(settings, row)


def test_following_a_running_job_ends_with_its_tasks_and_ctrl_c_leaves_it(
    covey: CommandLine, owner: Owner
) -> None:
    with owner() as process:
        assert covey("logs", "-f", "1.2").out == "done\n"
        attached = subprocess.Popen(
            [sys.executable, "-m", "covey", "attach", "1"],
            env=covey.env,
            stderr=subprocess.PIPE,
            text=True,
        )
        with ended(attached):
            assert "job 1 running: 1 of 3 done" in line_of(attached, attached.stderr)
            attached.send_signal(signal.SIGINT)
            _, said = attached.communicate(timeout=60)
        assert attached.returncode == 130
        assert "job 1 goes on: covey attach 1   covey cancel 1" in said
        assert process.poll() is None


def test_the_name_of_the_private_agent_is_the_one_that_joblog_knows() -> None:
    assert AGENT_HERE == AGENT


@pytest.mark.parametrize("gate", [("--memfree", "900T"), ("--load", "0.0001")])
def test_not_even_the_first_task_starts_where_memory_or_load_forbids_which_is_said(
    gate: tuple[str, str], covey: CommandLine
) -> None:
    if gate[0] == "--load" and os.getloadavg()[0] <= float(gate[1]):
        pytest.skip("this machine does nothing at all")
    process = subprocess.Popen(
        [sys.executable, "-m", "covey", "map", "--here", *gate, "echo", ":::", "a"],
        stderr=subprocess.PIPE,
        text=True,
        env=covey.env,
    )
    with ended(process):
        said = [line_of(process, process.stderr) for _ in range(3)]
        assert said[1].startswith("covey: waits: nothing starts while ")
        assert said[1].rstrip().endswith(f"({gate[0]})")
        assert "0/1 0%  0 running" in said[2]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_directory_that_nobody_can_enter_is_said_before_anything_runs(
    covey: CommandLine, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.touch()
    for directory, why in ((tmp_path / "none", "No such file"), (file, "Not a directory")):
        ended = covey("map", "--wd", str(directory), "pwd", ":::", "a", "b")
        assert (ended.code, ended.out, ended.err.count("\n")) == (255, "", 1)
        assert ended.err.startswith(f"covey: --wd {directory}: {why}")
        assert "make it first" in ended.err
    assert checked("jobs", covey("jobs", "--json").out)["jobs"] == []
    ended = covey("map", "--quiet", "--wd", str(tmp_path), "pwd", ":::", "a")
    assert (ended.code, ended.out) == (0, f"{tmp_path}\n")


def test_a_dry_run_shows_the_commands_and_runs_none(covey: CommandLine, tmp_path: Path) -> None:
    touch = f"touch {tmp_path}/{{}}"
    ended = covey("map", "--dry-run", touch, ":::", "a b", "c")
    assert ended == (0, f"touch {tmp_path}/'a b'\ntouch {tmp_path}/c\n", "")
    ended = covey("map", "--dry-run", "--tag", "echo", "{2}{1}", ":::", "a", ":::", "1", "2")
    assert ended == (0, "a 1\techo 1a\na 2\techo 2a\n", "")
    assert not (tmp_path / "c").exists()
