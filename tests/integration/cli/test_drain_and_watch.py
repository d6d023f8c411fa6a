"""What `covey drain` sets holds, and `covey status --watch` goes on until it is ended."""

from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked

from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab]:
    """A covey of one's own."""
    with Lab(tmp_path) as lab:
        yield lab


def _where(lab: Lab, count: int) -> set[str]:
    """The machines on which some items ran."""
    job = lab.map("echo $COVEY_MACHINE {}", ":::", *map(str, range(count)))
    assert job.wait() == 0, job.err
    return {line.split()[0] for line in job.out.decode().splitlines()}


@pytest.mark.timeout(300)
def test_a_drained_machine_is_so_after_the_head_was_killed_and_started_again(lab: Lab):
    with lab.cluster(machines=2, slots=1) as cluster:
        assert lab("drain", "local1").returncode == 0
        assert lab.states() == {"local1": "draining", "local2": "ready"}
        killed = cluster.head
        faults.kill(killed)
        done = lab("up", "--local", "2", "--slots", "1")
        assert done.returncode == 0, done.stderr
        assert cluster.head != killed
        wanted = {"local1": "draining", "local2": "ready"}
        wait_until(lambda: lab.states() == wanted, describe=lab.states)
        assert _where(lab, 8) == {"local2"}
        # Whoever names it reaches it all the same.
        assert "local1" in lab("run", "--limit", "local1", "--", "echo $COVEY_MACHINE").stdout
        assert lab("drain", "--undo", "local1").returncode == 0
        assert set(lab.states().values()) == {"ready"}


@pytest.mark.timeout(300)
def test_a_drained_machine_finishes_what_it_runs_and_its_rest_runs_elsewhere(lab: Lab):
    gate, begun = lab.directory / "gate", lab.directory / "begun"
    wait = f"echo $COVEY_MACHINE >> {begun}; while [ ! -e {gate} ]; do sleep 0.05; done"
    with lab.cluster(machines=2, slots=1):
        items = [str(n) for n in range(6)]
        job = lab.map(f"{wait}; echo $COVEY_MACHINE {{}}", ":::", *items)
        wait_until(
            lambda: begun.exists() and len(begun.read_text().split()) == 2,
            describe=lambda: job.err,
        )
        busy = lab("drain", "local1", "--wait", "--timeout", "0.1s")
        assert (busy.returncode, busy.stdout) == (1, "drained: local1 (1 task still running)\n")
        gate.touch()
        assert lab("drain", "local1", "--wait").stdout == "drained: local1 (nothing runs there)\n"
        assert job.wait() == 0, job.err
        lines = [line.split() for line in job.out.decode().splitlines()]
        assert sorted(item for _, item in lines) == items
        assert [machine for machine, _ in lines].count("local1") == 1


@pytest.mark.timeout(300)
def test_a_machine_out_of_reach_is_not_called_idle(lab: Lab):
    with lab.cluster(machines=2, slots=1):
        assert lab("chaos", "freeze", "local1", "--for", "60s").returncode == 0
        wait_until(lambda: lab.states()["local1"] == "unreachable", describe=lab.states)
        told = lab("drain", "local1", "--wait", "--timeout", "0.1s")
        assert (told.returncode, told.stdout) == (1, "drained: local1 (out of reach: local1)\n")
        value = checked("drain", lab("drain", "local1", "--json").stdout)
        assert (value["busy"], value["silent"]) == ({}, ["local1"])


@pytest.mark.timeout(300)
def test_status_is_shown_again_and_again_until_ctrl_c(lab: Lab):
    with lab.cluster(machines=1, slots=1):
        watch = lab.start("status", "--watch")
        wait_until(
            lambda: watch.out.count(b"cluster default is up: 1 machine, 1 slot") >= 2,
            describe=lambda: (watch.out, watch.err),
        )
        watch.interrupt()
        assert watch.wait() == 130
        assert watch.err == ""
