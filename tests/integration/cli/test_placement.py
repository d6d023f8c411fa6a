"""Where tasks go, and before whom: the options of `covey map` on real clusters."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked

from covey.model.policy import POLICIES
from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A covey of one's own."""
    with Lab(tmp_path) as lab:
        yield lab


def machines_of(lab: Lab, *options: str, count: int = 12) -> set[str]:
    """Where some tasks ran."""
    done = lab("map", *options, "echo $COVEY_MACHINE", ":::", *map(str, range(count)))
    assert done.returncode == 0, done.stderr
    return {line.split()[0] for line in done.stdout.splitlines()}


def queued(lab: Lab, call: Call, job: int, count: int) -> None:
    """So many tasks of the job wait, and its machines know."""
    wait_until(
        lambda: any(row.job == job and row.held >= count for row in lab.view.jobs()),
        describe=lambda: call.err,
        timeout_s=60,
    )
    # What was said to a machine before the echo is there.
    assert lab("ping").returncode == 0


def lines(path: Path) -> list[str]:
    """What tasks wrote there."""
    return path.read_text().split() if path.exists() else []


class Gate:
    """Commands that hold their slot until it opens."""

    def __init__(self, lab: Lab) -> None:
        self._path, self.begun = lab.directory / "gate", lab.directory / "begun"
        self.command = (
            f": {{}}; echo x >> {self.begun}; while [ ! -e {self._path} ]; do sleep 0.05; done"
        )

    def wait_begun(self, count: int, call: Call) -> None:
        """So many of them hold a slot."""
        wait_until(
            lambda: len(lines(self.begun)) >= count,
            describe=lambda: {"begun": lines(self.begun), "err": call.err},
            timeout_s=60,
        )

    def open(self) -> None:
        """Let them end."""
        self._path.touch()


@pytest.mark.timeout(300)
def test_labels_and_what_is_avoided_decide_where_tasks_run(lab: Lab):
    with lab.cluster(machines=3, groups=["gpu=local1,local2", "big=local2,local3"]):
        assert machines_of(lab, "--label", "gpu") <= {"local1", "local2"}
        assert machines_of(lab, "--label", "gpu,big") == {"local2"}
        assert machines_of(lab, "--avoid", "@gpu") == {"local3"}
        # Where it runs is where it may run.
        said = lab("map", "--label", "gpu,big", "true", ":::", "1").stderr
        assert said.startswith("covey: on 1 machine, ")
        assert lab("map", "true", ":::", "1").stderr.startswith("covey: on 3 machines, ")
        assert machines_of(lab, "--avoid", "local1", "--avoid", "local3") == {"local2"}
        assert machines_of(lab, "--limit", "@big", "--label", "gpu") == {"local2"}
        value = checked("status", lab("status", "--json").stdout)
        groups = {one["name"]: one["groups"] for one in value["machines"]}
        assert groups == {"local1": ["gpu"], "local2": ["gpu", "big"], "local3": ["big"]}
        assert "GROUPS" in lab("status").stdout
        assert set(lab.json("ping", "--limit", "@gpu")["machines"][0]) >= {"name"}


@pytest.mark.timeout(300)
def test_what_no_machine_may_run_is_said_at_once_and_waits_only_when_told(lab: Lab):
    with lab.cluster(machines=2, groups=["gpu=local1"]):
        for words in (["--label", "gpus"], ["--label", "gpu", "--avoid", "local1"]):
            done = lab("map", *words, "true", ":::", "a")
            assert done.returncode == 255
            assert done.stderr.count("\n") == 1
            assert "no machine" in done.stderr
            assert "--wait" in done.stderr
        # What is misspelt would else run where it must not.
        done = lab("map", "--avoid", "locl2", "true", ":::", "a")
        assert done.returncode == 255
        told = "covey: to avoid: there is no machine locl2: did you mean local2? — "
        assert done.stderr.startswith(told), done.stderr
        assert lab.json("jobs")["jobs"] == []
        job = lab.map("--wait", "--label", "tpu", "echo $COVEY_MACHINE", ":::", "a", "b")
        wait_until(lambda: "waits: no machine has the label tpu" in job.err, timeout_s=60)
        told = checked("explain", lab("explain", "last", "--json").stdout)
        assert (told["running"], told["waiting"][0]["tasks"]) == (0, 2)
        assert told["waiting"][0]["why"].startswith("no machine has the label tpu")
        assert "no machine has the label tpu" in lab("explain", "last.2").stdout
        assert "job 1: 2 tasks wait: no machine has" in lab("status").stdout
        assert checked("status", lab("status", "--json").stdout)["stuck"][0]["job"] == 1
        # A machine gets the label, and the job goes on.
        grouped = lab("up", "--group", "tpu=local2")
        assert grouped.stdout == "cluster default was up; group tpu is local2\n", grouped.stderr
        assert job.wait() == 0, job.err
        assert set(job.out.decode().split()) >= {"local2"}
        assert "local1" not in job.out.decode()
        assert "has ended: succeeded on local2" in lab("explain", "last.1").stdout
        assert lab("explain", "last.3").returncode != 0


@pytest.mark.timeout(300)
def test_spread_runs_one_task_at_once_on_each_machine(lab: Lab):
    inside = lab.directory / "inside"
    inside.mkdir()
    # Who finds another one of its machine inside says so.
    command = f": {{}}; d={inside}/$COVEY_MACHINE; mkdir $d || echo met; sleep 0.1; rmdir $d"
    with lab.cluster(machines=2, slots=2):
        for policy in ("BATCH+LATE_BINDING", "BATCH"):
            words = ("--spread", "--policy", policy, command, ":::", *map(str, range(8)))
            done = lab("map", *words)
            assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.timeout(300)
def test_every_policy_runs_every_task_once(lab: Lab):
    items = [str(n) for n in range(20)]
    with lab.cluster(machines=3):
        for policy in POLICIES:
            done = lab("map", "-k", "--policy", policy, "echo", ":::", *items)
            assert (done.returncode, done.stdout.split()) == (0, items), (policy, done.stderr)
        for words in (["--probe-ratio", "1.05"], ["--probe-ratio=auto"], ["--no-cancellation"]):
            done = lab("map", "-k", *words, "echo", ":::", *items)
            assert (done.returncode, done.stdout.split()) == (0, items), (words, done.stderr)
        jobs = checked("jobs", lab("jobs", "--json").stdout)["jobs"]
        assert [job["policy"] for job in jobs[: len(POLICIES)]] == list(POLICIES)
        assert [job["probe_ratio"] for job in jobs[-3:]] == [1.05, "auto", 2.0]
        assert not jobs[-1]["cancellation"]
        refused = lab("map", "--probe-ratio", "4", "true", ":::", "a")
        assert (refused.returncode, "there are 3" in refused.stderr) == (255, True)


@pytest.mark.timeout(300)
def test_the_more_urgent_job_goes_first_though_it_came_last(lab: Lab):
    gate, order = Gate(lab), lab.directory / "order"
    with lab.cluster(machines=1, slots=1):
        blocker = lab.map(gate.command, ":::", "1")
        gate.wait_begun(1, blocker)
        calls: list[Call] = []
        for priority in ("-5", "0", "7"):
            command = f": {{}}; echo {priority} >> {order}"
            calls.append(lab.map("--priority", priority, command, ":::", *"abc"))
            queued(lab, calls[-1], 1 + len(calls), 3)
        gate.open()
        assert [call.wait() for call in (*calls, blocker)] == [0] * 4
        assert lines(order) == ["7"] * 3 + ["0"] * 3 + ["-5"] * 3
        told = {job["job"]: job["priority"] for job in lab.json("jobs")["jobs"]}
        assert told == {1: 0, 2: -5, 3: 0, 4: 7}
        assert "PRIO" in lab("jobs").stdout
        assert "priority 7" in lab("show", "4").stdout


@pytest.mark.timeout(300)
def test_users_get_slots_by_their_weights(lab: Lab):
    (lab.directory / "covey.toml").write_text(
        "[users]\nalice = {weight = 3}\nbob = {weight = 1, priorities = [-5, 0]}\n"
    )
    gate, order = Gate(lab), lab.directory / "order"
    with lab.cluster(machines=1, slots=2):
        blocker = lab.map(gate.command, ":::", "1", "2")
        gate.wait_begun(2, blocker)
        items = [str(n) for n in range(120)]
        calls: list[Call] = []
        for user in ("bob", "alice"):
            # Long against the time in which a busy head grants the next one.
            command = f": {{}}; echo {user} >> {order}; sleep 0.1"
            calls.append(lab.map("--user", user, command, ":::", *items))
            queued(lab, calls[-1], 1 + len(calls), 120)
        gate.open()
        assert [call.wait() for call in (*calls, blocker)] == [0] * 3
        # While both wanted slots: alice three times as much, roughly. Where the head is starved,
        # what lies at the machine runs, whoever wants it.
        shares = Counter(lines(order)[:100])
        assert 58 <= shares["alice"] <= 92, shares
        assert {job["user"]: job["weight"] for job in lab.json("jobs")["jobs"][1:]} == {
            **{"alice": 3.0, "bob": 1.0}
        }
        # Who may ask for what is checked where the job is accepted, also without a cluster.
        for words in (["--user", "bob"], ["--user", "carol"], ["--user", "bob", "--here"]):
            done = lab("map", *words, "--priority", "1", "true", ":::", "a")
            assert (done.returncode, "it may use" in done.stderr) == (255, True), done.stderr
        # `up` takes a new table.
        (lab.directory / "covey.toml").write_text("[users]\ncarol = {priorities = [0, 9]}\n")
        assert lab("up").returncode == 0
        assert lab("map", "--user", "carol", "--priority", "1", "true", ":::", "a").returncode == 0
        assert lab("map", "--user", "alice", "--priority", "1", "true", ":::", "a").returncode
        assert json.loads((lab.state_dir / "users.json").read_text())["carol"]["weight"] == 1.0


@pytest.mark.timeout(300)
def test_a_preempted_task_runs_again_and_its_start_does_not_count(lab: Lab):
    gate = Gate(lab)
    with lab.cluster(machines=1, slots=1):
        low = lab.map("--retries", "1", f"{gate.command}; echo ended", ":::", "1")
        gate.wait_begun(1, low)
        # It would never end otherwise.
        high = lab("map", "--priority", "1", "--preempt", "echo", ":::", "high")
        assert (high.returncode, high.stdout) == (0, "high\n"), high.stderr
        gate.wait_begun(2, low)
        gate.open()
        assert low.wait() == 0, low.err
        assert low.out == b"ended\n"
        assert [row.state.name for row in lab.outcomes(1)] == ["SUCCEEDED"]
        shown = checked("show", lab("show", "2", "--json").stdout)
        assert (shown["preempt"], shown["priority"]) == (True, 1)


def test_without_a_cluster_there_is_no_label_and_that_is_said(lab: Lab):
    done = lab("map", "--label", "gpu", "true", ":::", "a")
    assert (done.returncode, "no machine has the label gpu" in done.stderr) == (255, True)
    assert (
        lab("map", "--priority", "3", "--spread", "--preempt", "true", ":::", "a", "b").returncode
        == 0
    )


def test_run_refuses_by_name_what_only_tasks_have(lab: Lab):
    for option in ("--policy", "--priority=3", "--label", "--wait"):
        done = lab("run", option, "x", "--", "true")
        assert done.returncode == 255
        assert "takes no slot" in done.stderr, done.stderr


@pytest.mark.timeout(300)
def test_what_waits_for_memory_says_so_everywhere(lab: Lab):
    with lab.cluster(machines=1):
        job = lab.map("--memfree", "900T", "echo", ":::", "a", "b")
        reason = "nothing starts while less than 900 TiB of memory is free (--memfree)"
        wait_until(lambda: f"waits: {reason}" in job.err, timeout_s=60)
        wait_until(lambda: "0/2 0%  0 running" in job.err, timeout_s=60)
        assert checked("explain", lab("explain", "last", "--json").stdout)["why"] == reason
        assert reason in lab("explain", "last.1").stdout
        assert f"job 1: 2 tasks wait: {reason}" in lab("status").stdout
        assert lab("cancel", "last").returncode == 0
        job.wait()
