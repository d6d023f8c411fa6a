"""Rows about where tasks may go, and before whom: constraints, priorities, shares, preemption."""

import json

import pytest
from tests.conformance.conftest import CommandLine

from covey.testing.waiting import wait_until


def where(covey: CommandLine, *options: str) -> set[str]:
    """The machines on which some tasks ran."""
    done = covey("map", *options, "echo $COVEY_MACHINE", ":::", *"abcdef")
    assert done.code == 0, done.err
    return {line.split()[0] for line in done.out.splitlines()}


@pytest.mark.row(11)
def test_labels_names_and_what_is_avoided_decide_where_tasks_run(covey: CommandLine):
    up = covey("up", "--local", "3", "--slots", "1", "--group", "gpu=local1,local2")
    assert up.code == 0, up.err
    assert where(covey, "--label", "gpu") <= {"local1", "local2"}
    assert where(covey, "--label", "gpu", "--avoid", "local1") == {"local2"}
    assert where(covey, "--avoid", "@gpu") == {"local3"}
    assert where(covey, "--limit", "local3") == {"local3"}
    # One of several with --spread: never two on one machine at once.
    assert where(covey, "--spread", "--label", "gpu") <= {"local1", "local2"}


@pytest.mark.row(11)
def test_what_no_machine_may_run_is_said_at_once_and_why_it_waits_otherwise(covey: CommandLine):
    assert covey("up", "--local", "2", "--group", "gpu=local1").code == 0
    refused = covey("map", "--label", "gpux", "true", ":::", "a")
    assert (refused.code, "did you mean gpu?" in refused.err) == (255, True)
    waits = covey.start("map", "--wait", "--label", "tpu", "echo $COVEY_MACHINE", ":::", "a")

    def explained() -> str:
        done = covey("explain", "last.1")
        return done.out if done.code == 0 else done.err

    wait_until(
        lambda: "no machine has the label tpu" in explained(), describe=explained, timeout_s=100
    )
    assert covey("up", "--group", "tpu=local2").code == 0
    assert waits.wait(100) == 0
    assert (covey.directory / "out").read_text().split() == ["local2", "a"]


@pytest.mark.row(11)
def test_calls_of_a_program_are_constrained_one_by_one(covey: CommandLine):
    up = covey("up", "--local", "2", "--slots", "1", "--group", "gpu=local2")
    assert up.code == 0, up.err
    (covey.directory / "program.py").write_text(
        "import os, covey\n"
        "def where(): return os.environ['COVEY_MACHINE']\n"
        "with covey.Executor() as executor:\n"
        "    print(executor.with_options(labels='gpu').submit(where).result())\n"
        "    print(executor.with_options(machines=['local1']).submit(where).result())\n"
        "    print(executor.with_options(avoid=['@gpu'], priority=3).submit(where).result())\n"
    )
    done = covey.python("program.py")
    assert (done.code, done.out.split()) == (0, ["local2", "local1", "local1"]), done.err


@pytest.mark.row(12)
def test_an_urgent_job_may_stop_another_whose_task_runs_again(covey: CommandLine):
    assert covey("up", "--local", "1", "--slots", "1").code == 0
    gate, begun = covey.directory / "gate", covey.directory / "begun"
    command = f": {{}}; echo x >> {begun}; while [ ! -e {gate} ]; do sleep 0.05; done"
    low = covey.start("map", command, ":::", "a")

    def starts() -> int:
        return len(begun.read_text().split()) if begun.exists() else 0

    wait_until(lambda: starts() == 1, timeout_s=100)
    # Otherwise it would wait for the gate.
    high = covey("map", "--priority", "5", "--preempt", "echo", ":::", "first")
    assert (high.code, high.out) == (0, "first\n"), high.err
    wait_until(lambda: starts() == 2, timeout_s=100)
    gate.touch()
    assert low.wait(100) == 0


@pytest.mark.row(12)
def test_weights_and_priorities_of_users_are_those_of_covey_toml(covey: CommandLine):
    (covey.directory / "covey.toml").write_text(
        "[users]\nalice = {weight = 3, priorities = [0, 5]}\nbob = {priorities = [-5, -1]}\n"
    )
    assert covey("up", "--local", "1").code == 0
    assert covey("map", "--user", "alice", "--priority", "5", "true", ":::", "a").code == 0
    assert covey("map", "--user", "bob", "true", ":::", "a").code == 0
    refused = covey("map", "--user", "alice", "--priority", "6", "true", ":::", "a")
    assert (refused.code, "it may use 0 to 5" in refused.err) == (255, True)
    jobs = json.loads(covey("jobs", "--json").out)["jobs"]
    told = [(job["user"], job["weight"], job["priority"]) for job in jobs]
    assert told == [("alice", 3.0, 5), ("bob", 1.0, -1)]
