"""covey.Cluster against virtual machines: what it answers, and what its errors keep."""

import asyncio
import os
from collections.abc import Generator
from pathlib import Path

import pytest

import covey
from covey.cluster import Cluster, MadeDirectory, RunResult
from covey.errors import (
    CommandFailed,
    ConnectFailed,
    FleetError,
    InventoryError,
    MachineError,
    NotUp,
    SettingsError,
    UsageError,
)
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.waiting import wait_until

NAMES = ["local1", "local2"]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Lab]:
    """Two virtual machines."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab, lab.cluster(machines=2, slots=1):
        yield lab


@pytest.fixture
def home(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This very process works in the home of the lab."""
    for name in ("COVEY_HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, lab.env[name])
    monkeypatch.delenv("COVEY_CLUSTER", raising=False)
    return lab.home


@pytest.fixture
def cluster(home: Path) -> Cluster:
    """The cluster that is up."""
    return covey.Cluster()


def test_status_has_a_frozen_value_for_each_machine(cluster: Cluster):
    wait_until(lambda: all(one.is_ready for one in cluster.status().values()))
    status = cluster.status()
    assert cluster.is_up
    assert list(status) == NAMES
    assert [(one.state, one.is_ready, one.slots) for one in status.values()] == [
        ("ready", True, 1)
    ] * 2
    assert status["local1"].facts["name"] == "local1"
    with pytest.raises(AttributeError):
        status["local1"].state = "lost"  # pyright: ignore[reportAttributeAccessIssue]


def test_machines_are_put_into_groups_while_they_run(cluster: Cluster):
    cluster.up(local=2, groups={"gpu": "local1", "big": ""})
    groups = {name: one.facts["groups"] for name, one in cluster.status().items()}
    assert groups == {"local1": ["gpu", "big"], "local2": ["big"]}
    with pytest.raises(UsageError, match="groups: 'no!name' is no name of a group"):
        cluster.up(local=2, groups={"no!name": "local1"})


def test_run_answers_for_each_machine(cluster: Cluster):
    results = cluster.run("echo $COVEY_MACHINE $X; echo err >&2", env={"X": "y"})
    assert {name: one.text for name, one in results.items()} == {n: f"{n} y\n" for n in NAMES}
    assert all(one.is_ok and one.exit == 0 and one.stderr == b"err\n" for one in results.values())
    argv = cluster.run(["printf", "%s|", "a b", "$X"], machines=["local2"])
    assert {name: one.stdout for name, one in argv.items()} == {"local2": b"a b|$X|"}


def test_one_machine_may_be_named_without_a_list(cluster: Cluster, tmp_path: Path):
    assert list(cluster.run("true", machines="local2")) == ["local2"]
    assert list(cluster.mkdir("one", machines="local1")) == ["local1"]
    with pytest.raises(InventoryError, match="no;name"):
        cluster.up("no;name")
    with pytest.raises(InventoryError, match="missing"):
        cluster.up(hosts_files=str(tmp_path / "missing"))


def test_an_error_keeps_the_good_results(cluster: Cluster):
    with pytest.raises(FleetError, match=r"1 of 2 machines .* local2: exit 3: oops") as caught:
        cluster.run("test $COVEY_MACHINE = local1 || { echo oops >&2; exit 3; }")
    results = caught.value.data["results"]
    assert isinstance(results["local1"], RunResult)
    assert isinstance(results["local2"], CommandFailed)
    assert (results["local2"].data["code"], results["local2"].data["tail"]) == (3, "oops")
    unchecked = cluster.run("test $COVEY_MACHINE = local1", check=False)
    assert [one.state for one in unchecked.values()] == ["ok", "failed"]


def test_a_script_brings_back_its_files(cluster: Cluster, tmp_path: Path):
    script = tmp_path / "writes.py"
    script.write_text(
        "import os, sys\nopen(os.environ['COVEY_OUTPUT'] + '/f', 'w').write(sys.argv[1])\n"
    )
    results = cluster.run(["an arg"], script=script)
    assert {name: dict(one.files) for name, one in results.items()} == {
        name: {"f": b"an arg"} for name in NAMES
    }


def test_exec_gives_input_and_raises_for_another_exit_code(cluster: Cluster):
    done = cluster.exec("local2", "cat; echo $COVEY_MACHINE", stdin=b"\0in")
    assert (done.exit, done.stdout) == (0, b"\0inlocal2\n")
    with pytest.raises(CommandFailed, match="local1: exit 4: no"):
        cluster.exec("local1", ["sh", "-c", "echo no >&2; exit 4"])
    assert cluster.exec("local1", "exit 4", check=False).exit == 4
    assert cluster.exec("local1", "sleep 60", timeout_s=0.2, check=False).exit == 124
    with pytest.raises(CommandFailed, match=r"local1: exit 124 \(time limit: 0.2 s\)"):
        cluster.exec("local1", "sleep 60", timeout_s=0.2)
    with pytest.raises(UsageError, match="did you mean local1"):
        cluster.exec("locl1", "true")


@pytest.mark.parametrize("bad", [-1, -0.5, float("nan"), float("inf")])
def test_a_time_limit_that_is_no_length_of_time_is_refused(cluster: Cluster, bad: float):
    says = "timeout_s must be a number of seconds, 0 = never, not"
    with pytest.raises(ValueError, match=says):
        cluster.run("true", timeout_s=bad)
    with pytest.raises(ValueError, match=says):
        cluster.exec("local1", "true", timeout_s=bad)


def test_mkdir_tells_what_it_made(cluster: Cluster):
    made = cluster.mkdir("shelf", "shelf/below")
    assert made["local1"] == (
        MadeDirectory("shelf", "created"),
        MadeDirectory("shelf/below", "created"),
    )
    assert [one.state for one in cluster.mkdir("shelf")["local2"]] == ["exists"]
    with pytest.raises(FleetError, match="No such file or directory") as caught:
        cluster.mkdir("nowhere/x", machines=["local1"])
    assert isinstance(caught.value.data["results"]["local1"], MachineError)
    assert cluster.mkdir("nowhere/x", parents=True, machines=["local1"])["local1"][0].path


def test_calls_run_on_the_machines(cluster: Cluster):
    assert cluster.map(divmod, range(10), [3] * 10) == [divmod(n, 3) for n in range(10)]
    with cluster.executor() as executor:
        assert executor.submit(os.getpid).result() != os.getpid()


def test_it_works_inside_of_a_running_loop(cluster: Cluster):
    async def notebook() -> list[str]:
        return [one.state for one in cluster.run("true").values()]

    assert asyncio.run(notebook()) == ["ok", "ok"]


def test_a_drained_machine_is_still_looked_after(cluster: Cluster):
    cluster.drain("local1")
    try:
        assert cluster.run("echo here")["local1"].text == "here\n"
    finally:
        cluster.drain("local1", undo=True)
    with pytest.raises(UsageError, match="local9"):
        cluster.drain("local9")


@pytest.mark.timeout(180)
def test_a_with_block_takes_down_what_it_brought_up(home: Path):
    with covey.Cluster("other") as other:
        assert {one.state for one in other.up(local=2, slots=1).values()} == {"started"}
        assert {one.state for one in other.up(local=2).values()} == {"running"}
        state_dir = home / "other"
        dead = faults.ClusterParts(state_dir).agent("local2")
        faults.kill(dead)
        with pytest.raises(FleetError) as caught:
            other.run("echo hi")
        assert caught.value.data["results"]["local1"].text == "hi\n"
        assert isinstance(caught.value.data["results"]["local2"], ConnectFailed)
    assert not other.is_up
    assert not (state_dir / "cluster.json").exists()


@pytest.mark.usefixtures("home")
def test_without_a_cluster_it_says_so():
    none = covey.Cluster("none")
    assert not none.is_up
    for ask in (none.status, lambda: none.run("true"), lambda: none.map(abs, [1])):
        with pytest.raises(NotUp):
            ask()
    assert none.down() == {}
    with pytest.raises(SettingsError):
        covey.Cluster("no name")
