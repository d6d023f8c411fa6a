"""`covey scheduler`: a service in the foreground; says when it is ready, ends on a signal."""

import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked

from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab]:
    """A covey of one's own."""
    with Lab(tmp_path) as lab:
        yield lab


def _ready(lab: Lab, *words: str) -> Call:
    call = lab.start("scheduler", *words)
    wait_until(lambda: call.out.endswith(b"\n"), describe=lambda: call.err)
    return call


def _running(lab: Lab) -> dict[str, str]:
    value = checked("status", lab("status", "--json").stdout)
    return {one["name"]: one["state"] for one in value["schedulers"]}


@pytest.mark.timeout(300)
def test_it_says_when_it_is_ready_is_in_status_and_ends_on_a_signal(lab: Lab) -> None:
    with lab.cluster(machines=1, slots=2):
        s1, s2 = _ready(lab, "--name", "s1"), _ready(lab, "--name", "s2", "--json")
        line = "scheduler s1 of cluster default is ready: 1 machine, 2 slots\n"
        assert s1.out.decode() == line
        value = checked("scheduler", s2.out.decode())
        assert (value["name"], value["machines"], value["slots"]) == ("s2", 1, 2)
        assert _running(lab) == {"s1": "running", "s2": "running"}
        again = lab("scheduler", "--name", "s1")
        assert again.returncode == 1
        assert f"runs already (process {s1.pid})" in again.stderr
        s1.process.send_signal(signal.SIGTERM)
        assert (s1.wait(), s1.err) == (0, "")
        assert _running(lab) == {"s2": "running"}
        s2.kill()
        assert _running(lab) == {"s2": "killed"}
        assert "covey scheduler --name s2" in lab("status").stdout
        # The name of one that was killed is free.
        s2 = _ready(lab, "--name", "s2")
        s2.interrupt()
        assert s2.wait() == 0
        left = _ready(lab, "--name", "s3")
    assert left.wait() == 0, "down ends it"


def test_without_a_cluster_or_a_good_name_it_says_what_to_do(lab: Lab) -> None:
    for words, code, said in [
        (("--name", "s1"), 1, "covey up --local 2"),
        (("--name", "a b"), 2, "use letters, digits"),
        (("--name", "x" * 60), 2, "at most 54"),
        ((), 2, "--name"),
        (("--name", "s1", "--head", "lab3"), 2, "on the machine of the head"),
    ]:
        done = lab("scheduler", *words)
        assert (done.returncode, done.stdout) == (code, ""), done
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_map_names_what_to_use_instead_of_schedulers(lab: Lab) -> None:
    done = lab("map", "--schedulers", "s1,s2", "true", ":::", "1")
    assert done.returncode == 255
    assert "covey.Executor(schedulers=" in done.stderr
