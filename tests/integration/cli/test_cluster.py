"""A cluster of virtual machines, brought up, looked at, broken and taken down by its commands."""

import json
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.schemas import checked

from covey.testing.waiting import wait_until

NOT_UP = (
    "cluster default is not up — start it with: covey up HOST…, or on this machine:"
    " covey up --local 2"
)


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that name `home` in their arguments, files or directory."""
    found: list[str] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if str(home) in os.readlink(entry / "cwd"):
                found.append((entry / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Generator[CommandLine]:
    """Two virtual machines of one slot each."""
    covey = CommandLine(tmp_path_factory.mktemp("home"))
    begun = covey("up", "--local", "2", "--slots", "1", "--json")
    assert begun.code == 0, begun.err
    names = [machine["name"] for machine in checked("up", begun.out)["machines"]]
    assert names == ["local1", "local2"]
    yield covey
    ended = covey("down", "--json")
    assert checked("down", ended.out)["was_up"] is True
    assert processes_of(covey.home) == []


def test_status_shows_each_machine(cluster: CommandLine) -> None:
    value = checked("status", cluster("status", "--json").out)
    assert value["up"] is True
    machines = {machine["name"]: machine for machine in value["machines"]}
    assert sorted(machines) == ["local1", "local2"]
    assert [machine["slots"] for machine in machines.values()] == [1, 1]
    text = cluster("status").out
    assert text.startswith("cluster default is up: 2 machines, 2 slots, 0 busy\nMACHINE  STATE")
    assert "as given" in text


def test_a_slip_in_a_list_hides_nothing_of_what_is_up(
    cluster: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cluster.env, "COVEY_HOSTS", "bad;host")
    ended = cluster("status")
    assert ended.code == 0
    assert "COVEY_HOSTS: 'bad;host' is no host name" in ended.err
    assert "local1" in ended.out


def test_ping_has_a_line_per_machine(cluster: CommandLine) -> None:
    ended = cluster("ping")
    assert ended.code == 0
    for number, line in enumerate(ended.out.splitlines(), 1):
        head, _, time = line.rpartition("  ")
        assert head == f"Echo sent from local{number}"
        assert time.endswith(" ms")
        assert float(time.removesuffix(" ms")) > 0
    value = checked("ping", cluster("ping", "--json").out)
    assert [machine["name"] for machine in value["machines"]] == ["local1", "local2"]


def test_ping_may_be_limited_to_some_machines(cluster: CommandLine) -> None:
    value = checked("ping", cluster("ping", "--json", "--limit", "!local1").out)
    assert [machine["name"] for machine in value["machines"]] == ["local2"]
    ended = cluster("ping", "--limit", "local7")
    assert (ended.code, ended.out) == (2, "")
    assert "there is no machine 'local7'" in ended.err
    assert "local1" in ended.err


def test_a_second_up_is_refused_in_one_line(cluster: CommandLine) -> None:
    ended = cluster("up", "--local", "2")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "covey: cluster default is up already: see it with: covey status\n"


def test_machines_are_offered_and_others_refused(cluster: CommandLine) -> None:
    ended = cluster("chaos", "kill", "local9")
    assert ended.code == 2
    assert "there is no local machine 'local9'" in ended.err
    cluster.env["_COVEY_COMPLETE"] = "bash_complete"
    cluster.env["COMP_WORDS"], cluster.env["COMP_CWORD"] = "covey chaos kill ", "3"
    try:
        assert cluster().out.split() == ["plain,local1", "plain,local2"]
    finally:
        for name in ("_COVEY_COMPLETE", "COMP_WORDS", "COMP_CWORD"):
            del cluster.env[name]


def test_doctor_knows_virtual_machines(cluster: CommandLine) -> None:
    ended = cluster("doctor", "local1")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "local1 (virtual, on this machine)\n  ✔ agent: runs\n"
    assert cluster("chaos", "kill", "local2").code == 0
    ended = cluster("doctor", "local2")
    assert (ended.code, ended.out.splitlines()[-1]) == (
        1,
        "      → start it again: covey up --local",
    )
    assert checked("doctor", cluster("doctor", "local2", "--json").out)["ok"] is False
    assert cluster("up", "--local").code == 0
    assert cluster("doctor", "local2").code == 0


@pytest.mark.parametrize("how", ["freeze", "cut"])
def test_chaos_is_told_in_one_line(cluster: CommandLine, how: str) -> None:
    ended = cluster("chaos", how, "local2", "--for", "200ms")
    assert (ended.code, ended.err) == (0, "")
    assert "local2" in ended.out
    value = checked("chaos", cluster("chaos", how, "local1", "--for", "100ms", "--json").out)
    assert (value["how"], value["machine"], value["for_s"]) == (how, "local1", 0.1)


def test_distsys_names_do_the_same(covey: CommandLine) -> None:
    begun = covey("start_local", "1")
    try:
        assert begun == (0, "Starting 1 local clients...\nService started @ local1\n", "")
        assert covey("ping").out.startswith("Echo sent from local1  ")
    finally:
        ended = covey("shutdown_local")
    assert ended == (0, "Client local1 shutting down.\n", "")
    assert processes_of(covey.home) == []


def test_a_head_that_was_killed_is_started_again_by_what_is_said(cluster: CommandLine) -> None:
    state = cluster.home / "default"
    pid = int(json.loads((state / "head.json").read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    told = "cluster default is not up — its head was killed: start it again with: covey up"
    wait_until(lambda: cluster("status").out.splitlines()[0] == told)
    assert cluster("up").code == 0
    value = checked("status", cluster("status", "--json").out)
    assert sorted(machine["name"] for machine in value["machines"]) == ["local1", "local2"]


def test_without_a_cluster_status_says_what_to_type_and_ends_well(covey: CommandLine) -> None:
    ended = covey("status")
    assert (ended.code, ended.err) == (0, "")
    first, second = ended.out.splitlines()
    assert first == NOT_UP
    assert second.startswith("this machine: ")
    value = checked("status", covey("status", "--json").out)
    assert value["up"] is False
    assert value["this_machine"]["slots"] >= 1
    assert not covey.home.exists()


@pytest.mark.parametrize("words", [["ping"], ["chaos", "kill", "local1"]])
def test_what_needs_a_cluster_says_so(covey: CommandLine, words: list[str]) -> None:
    ended = covey(*words)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"covey: {NOT_UP}\n"


@pytest.mark.parametrize("word", ["down", "shutdown_local"])
def test_taking_down_what_is_not_up_is_no_error(covey: CommandLine, word: str) -> None:
    assert covey(word) == (0, "", "covey: cluster default is not up\n")
    assert checked("down", covey(word, "--json").out)["was_up"] is False
