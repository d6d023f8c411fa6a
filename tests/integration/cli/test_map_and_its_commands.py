"""Jobs of `covey map` under the commands that follow, steer and resume them."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.command_line import TIMEOUT_S, CommandLine
from tests.integration.cli.schemas import checked

from covey.agent import proctree
from covey.testing.ending import ended, line_of
from covey.testing.waiting import COMMAND_MAX_S, wait_until


class Map:
    """`covey map` in the background, in a directory of its own."""

    def __init__(self, covey: CommandLine, directory: Path, *words: str) -> None:
        self.directory = directory
        self.process = subprocess.Popen(
            [sys.executable, "-m", "covey", "map", *words],
            cwd=directory,
            env=covey.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def go(self) -> None:
        (self.directory / "go").touch()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return self.process.returncode, out, err


@pytest.fixture
def cluster(covey: CommandLine) -> Generator[CommandLine]:
    """Two virtual machines of one slot each."""
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    yield covey
    assert covey("down").code == 0


def job(covey: CommandLine, number: str = "last") -> dict[str, object]:
    """The job as `covey jobs --json` shows it."""
    ended = covey("jobs", number, "--json")
    found: list[dict[str, object]] = checked("jobs", ended.out)["jobs"] if ended.out else []
    return found[0] if found else {}


def words_in(path: Path) -> list[str]:
    """What tasks wrote there."""
    return path.read_text().split() if path.exists() else []


def test_a_private_job_is_read_with_nothing_running(covey: CommandLine, tmp_path: Path) -> None:
    code, out, _ = Map(covey, tmp_path, "-k", "echo {}; exit {}", ":::", "0", "3").end()
    assert (code, out) == (1, "0\n3\n")
    shown = checked("show", covey("show", "last", "--json").out)
    assert [f["task"] for f in shown["failures"]] == [2]
    assert "1.2  exit 3 on here  3" in covey("show", "1").out
    assert covey("logs", "1.2").out == "3\n"
    lines = covey("joblog", "last").out.splitlines()[1:]
    assert sorted(line.split("\t")[6] + line.split("\t")[8] for line in lines) == [
        "0echo 0; exit 0",
        "3echo 3; exit 3",
    ]


def test_an_interrupted_private_job_is_resumed_with_what_is_left(
    covey: CommandLine, tmp_path: Path
) -> None:
    words = "echo {} >> started; if test {} = b; then until test -e go; do sleep 0.05; done; fi"
    mapped = Map(covey, tmp_path, "-j1", words, ":::", "a", "b", "c")
    wait_until(lambda: words_in(tmp_path / "started") == ["a", "b"], describe="a and b")
    wait_until(lambda: job(covey).get("done") == 1, describe=lambda: job(covey))
    mapped.process.send_signal(signal.SIGKILL)
    mapped.end()
    wait_until(lambda: job(covey).get("state") == "interrupted", describe=lambda: job(covey))
    assert checked("show", covey("show", "1", "--json").out)["next"] == ["covey resume 1"]
    mapped.go()
    ended = covey("resume", "1")
    assert ended.code == 0, ended.err
    assert job(covey)["state"] == "succeeded"
    assert words_in(tmp_path / "started") == ["a", "b", "b", "c"]


def test_a_job_of_the_head_is_attached_to_and_outlives_its_map(
    cluster: CommandLine, tmp_path: Path
) -> None:
    words = ["until test -e {}; do sleep 0.05; done; echo {/}; exit 4", ":::", str(tmp_path / "go")]
    mapped = Map(cluster, tmp_path, *words)
    # It is there with all its items: a job is running before they have come.
    wait_until(lambda: job(cluster).get("total") == 1, describe=lambda: job(cluster))
    mapped.process.send_signal(signal.SIGKILL)
    mapped.end()
    attached = subprocess.Popen(
        [sys.executable, "-m", "covey", "attach", "last"],
        env=cluster.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with ended(attached):
        assert "job 1 running: 0 of 1 done" in line_of(attached, attached.stderr)
        mapped.go()
        out, err = attached.communicate(timeout=TIMEOUT_S)
    assert (attached.returncode, out) == (1, "go\n")
    assert err.startswith("job 1 failed: 0 succeeded, 1 failed in ")


def test_a_job_of_the_head_is_cancelled_with_its_processes(
    cluster: CommandLine, tmp_path: Path
) -> None:
    words = [f"echo $$ > {tmp_path}/pid{{}}; exec sleep 300", ":::", "1", "2", "3"]
    mapped = Map(cluster, tmp_path, *words)
    wait_until(lambda: job(cluster).get("total") == 3, describe=lambda: job(cluster))

    def pids() -> list[int]:
        return [int(pid) for path in tmp_path.glob("pid?") for pid in words_in(path)]

    wait_until(lambda: len(pids()) == 2, describe=pids)
    running = pids()
    value = checked("cancel", cluster("cancel", "last", "--json").out)
    assert value["cancelled"][0]["job"] == 1
    mapped.end()
    wait_until(lambda: job(cluster)["state"] == "cancelled", describe=lambda: job(cluster))
    assert job(cluster)["cancelled"] == 3
    assert pids() == running, "nothing was started after that"
    assert not any(map(proctree.identify, running))
    assert cluster("cancel", "last").out == "job 1 had ended already (cancelled)\n"


def test_a_closed_pipe_ends_map_quietly(covey: CommandLine, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m covey map echo ::: $(seq 300) | head -1"],
        cwd=tmp_path,
        env=covey.env,
        capture_output=True,
        text=True,
        check=False,
        timeout=COMMAND_MAX_S,
    )
    assert len(done.stdout.splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert "bug" not in done.stderr
