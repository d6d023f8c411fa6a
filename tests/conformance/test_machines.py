"""Rows about machines: virtual ones, their faults, and what is shown of them."""

import json
import re
from typing import Any

import pytest
from tests.conformance.conftest import CommandLine

from covey.testing.ending import end
from covey.testing.waiting import wait_until


@pytest.mark.row(6)
def test_one_command_makes_virtual_machines_and_one_takes_them_away(covey: CommandLine):
    up = covey("up", "--local", "3")
    assert up.code == 0, up.err
    machines = json.loads(covey("status", "--json").out)["machines"]
    assert [machine["name"] for machine in machines] == ["local1", "local2", "local3"]
    assert covey("down").code == 0
    assert covey.processes() == []


@pytest.mark.row(6)
def test_invariant_12_after_down_no_process_socket_or_key_is_left(covey: CommandLine):
    runtime = covey.directory.parent / "runtime"
    runtime.mkdir(mode=0o700)
    env = {"XDG_RUNTIME_DIR": str(runtime)}
    assert covey("up", "--local", "2", env=env).code == 0
    assert covey("map", "-k", "echo {}", ":::", "a", "b", env=env).out == "a\nb\n"
    assert covey("down", env=env).code == 0
    assert covey.processes() == []
    state = covey.directory.parent / "state"
    left = [path for top in (runtime, state) for path in top.rglob("*")]
    assert [path for path in left if path.is_socket() or path.is_fifo()] == []
    secret = ("key", "pass", "cred", "nats-server.conf")
    assert [path for path in left if path.is_file() and path.name.startswith(secret)] == []


@pytest.mark.row(28)
def test_invariant_11_status_says_why_a_machine_is_not_ready(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    assert covey("chaos", "kill", "local2").code == 0
    seen: list[dict[str, object]] = []

    def is_explained() -> bool:
        machines = json.loads(covey("status", "--json").out)["machines"]
        seen[:] = [machine for machine in machines if machine["name"] == "local2"]
        return bool(seen) and seen[0]["state"] != "ready" and bool(seen[0]["why"])

    wait_until(is_explained, describe=lambda: f"local2: {seen}")


@pytest.mark.row(6)
def test_the_words_of_distsys_work(covey: CommandLine):
    assert covey("start_local", "2").code == 0
    lines = covey("ping").out.splitlines()
    assert [line.split()[3] for line in lines] == ["local1", "local2"]
    assert all(re.match(r"Echo sent from local\d\s+[\d.]+ ms$", line) for line in lines)
    assert covey("shutdown_local").code == 0


@pytest.mark.row(6)
@pytest.mark.parametrize("fault", [("kill",), ("freeze", "--for", "1s"), ("cut", "--for", "1s")])
def test_a_fault_of_a_machine_loses_and_doubles_no_item(covey: CommandLine, fault: tuple[str, ...]):
    assert covey("up", "--local", "2").code == 0
    client = covey.start("map", "-k", "sleep 0.05; echo {}", ":::", *map(str, range(60)))
    how, *rest = fault
    broken = covey("chaos", how, "local2", *rest)
    assert broken.code == 0, broken.err
    assert client.wait(timeout=120) == 0, (covey.directory / "err").read_text()
    printed = (covey.directory / "out").read_text().split()
    assert printed == [str(n) for n in range(60)]


@pytest.mark.row(2)
def test_each_machine_answers_with_its_latency_or_is_said_to_be_silent(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    both = json.loads(covey("ping", "--json").out)["machines"]
    assert all(0 <= machine["latency_s"] < 5 for machine in both)
    covey("chaos", "kill", "local2")
    after = json.loads(covey("ping", "--json").out)["machines"]
    assert {m["name"]: m["latency_s"] is not None for m in after} == {
        "local1": True,
        "local2": False,
    }


@pytest.mark.row(28)
def test_status_shows_machines_jobs_and_totals(covey: CommandLine):
    assert covey("up", "--local", "2").code == 0
    covey("map", "test {} != 2", ":::", "1", "2", "3")
    reports: list[dict[str, Any]] = []

    def states() -> set[str]:
        reports.append(json.loads(covey("status", "--json").out))
        return {machine["state"] for machine in reports[-1]["machines"]}

    wait_until(lambda: states() == {"ready"}, describe=states)
    assert reports[-1]["schema"] == 1
    table = covey("status").out
    assert "local1" in table
    assert "local2" in table
    jobs = json.loads(covey("jobs", "--json").out)["jobs"]
    assert [(job["total"], job["done"], job["failed"]) for job in jobs] == [(3, 3, 1)]


@pytest.mark.row(27)
def test_cancel_stops_a_job_that_a_cluster_runs(covey: CommandLine):
    assert covey("up", "--local", "1").code == 0
    client = covey.start("map", "-j1", "sleep 60", ":::", *map(str, range(10)))
    try:
        jobs = _wait_for_a_job(covey)
        assert covey("cancel", str(jobs[0]["job"])).code == 0
        client.wait(timeout=120)
    finally:
        end(client)
    assert [job["state"] for job in json.loads(covey("jobs", "--json").out)["jobs"]] == [
        "cancelled"
    ]


def _wait_for_a_job(covey: CommandLine) -> list[dict[str, object]]:
    seen: list[dict[str, object]] = []

    def look() -> bool:
        seen[:] = json.loads(covey("jobs", "--json").out)["jobs"]
        return bool(seen)

    wait_until(look, describe=lambda: f"jobs: {seen}")
    return seen
