"""Commands that read the ledger: nothing runs, and nothing is started."""

import base64
import json
from pathlib import Path

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.recorded import STARTED, Recorded
from tests.integration.cli.schemas import SCHEMAS, checked, schema

from covey.client.cluster import ClusterFiles, Trace
from covey.fleet.host import Host
from covey.model.job import JobState
from covey.model.report import Report
from covey.model.task import OutcomeState

FAILED = OutcomeState.FAILED


@pytest.fixture
def ledger(covey: CommandLine) -> Path:
    """Three jobs: one with failures, one that is well, one that nobody runs any more."""
    state = covey.home / "default"
    state.mkdir(parents=True)
    job = Recorded(1, "gzip -k {}", name="nightly-a").items(b"a.log", b"b b.log", b"caf\xe9")
    job.task(1, report=Report(out=b"one\n"))
    job.task(2, FAILED, ran_s=2.5, report=Report(exit=2, err=b"1\n2\n3\n4\n5\nno \x1b[1msuch\n"))
    job.task(3, FAILED, agent="local2", report=Report(signal=9, out=b"\xff\xfe"))
    job.event("halt", "stopped after 2 failures").ended(JobState.FAILED)
    job.write(state)
    well = Recorded(2, "echo {}", name="other", created=STARTED + 60).items(b"x")
    well.task(1, report=Report(out=b"x\n")).ended(JobState.SUCCEEDED).write(state)
    Recorded(3, "sleep {}", created=STARTED + 120).items(b"1", b"2").task(1).write(state)
    return state


def test_without_a_ledger_there_are_no_jobs_and_nothing_is_made(covey: CommandLine) -> None:
    assert covey("jobs").out == "no jobs yet — begin one with: covey map\n"
    assert checked("jobs", covey("jobs", "--json").out)["jobs"] == []
    ended = covey("show", "last")
    assert (ended.code, ended.out) == (1, "")
    assert "there are no jobs yet" in ended.err
    assert not covey.home.exists()


def test_jobs_lists_them_newest_last(covey: CommandLine, ledger: Path) -> None:
    lines = covey("jobs").out.splitlines()
    assert lines[0].split()[:6] == ["JOB", "NAME", "STATE", "DONE", "FAILED", "TOTAL"]
    assert lines[0].split()[6:] == ["STARTED", "TIME", "COMMAND"]
    assert [line.split()[:6] for line in lines[1:]] == [
        ["1", "nightly-a", "failed", "3", "2", "3"],
        ["2", "other", "succeeded", "1", "0", "1"],
        ["3", "-", "interrupted", "1", "0", "2"],
    ]
    assert lines[1].endswith("10 s  gzip -k {}")


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ([], [1, 2, 3]),
        (["all"], [1, 2, 3]),
        (["last"], [3]),
        (["1-10:2"], [1, 3]),
        (["3,1"], [1, 3]),
        (["1", "2"], [1, 2]),
        (["--name", "night*"], [1]),
        (["2-3", "--name", "o*"], [2]),
        (["--name", "nothing*"], []),
    ],
)
def test_selectors_choose_jobs(
    covey: CommandLine, ledger: Path, words: list[str], numbers: list[int]
) -> None:
    value = checked("jobs", covey("jobs", *words, "--json").out)
    assert [job["job"] for job in value["jobs"]] == numbers
    assert checked("jobs", covey("--json", "jobs", *words).out) == value


@pytest.mark.parametrize("command", ["show", "logs", "joblog", "attach", "resume", "cancel"])
def test_a_job_that_is_not_there_is_said_in_one_line(
    covey: CommandLine, ledger: Path, command: str
) -> None:
    ended = covey(command, "9")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith("covey: there is no job 9")
    assert ended.err.endswith("covey jobs\n")


@pytest.mark.parametrize("command", ["show", "logs", "joblog", "attach", "resume"])
def test_a_command_for_one_job_refuses_several(
    covey: CommandLine, ledger: Path, command: str
) -> None:
    assert covey(command, "1-2").err == f"covey: {command} takes one job; 1-2 names 2\n"


def test_show_says_what_failed_and_what_to_type_next(covey: CommandLine, ledger: Path) -> None:
    text = covey("show", "1").out
    assert "job 1  nightly-a  failed" in text
    assert "1 succeeded, 2 failed of 3" in text
    assert "slowest 1.2 2.50 s" in text
    assert "local1 2, local2 1" in text
    assert "1.2  exit 2 on local1  b b.log" in text
    assert "      no \\x1b[1msuch\n" in text
    assert "      1\n" not in text  # only the last five lines
    assert "1.3  SIGKILL on local2  caf\\xe9" in text
    assert "stopped after 2 failures" in text
    assert text.endswith("next: covey logs 1.2   covey joblog 1\n")


def test_show_as_json_fits_its_schema(covey: CommandLine, ledger: Path) -> None:
    value = checked("show", covey("show", "1", "--json").out)
    assert (value["job"], value["state"], value["failed"]) == (1, "failed", 2)
    assert [f["task"] for f in value["failures"]] == [2, 3]
    assert value["failures"][1]["item"] == {"base64": base64.b64encode(b"caf\xe9").decode()}
    assert value["next"][0] == "covey logs 1.2"
    for job in ("2", "last"):
        checked("show", covey("show", job, "--json").out)


def test_an_interrupted_job_says_how_to_go_on(covey: CommandLine, ledger: Path) -> None:
    assert covey("show", "last").out.endswith("next: covey up --local 2\n")
    ended = covey("attach", "3")
    assert ended.code == 1
    assert "job 3 is interrupted — go on with: covey up --local 2\n" in ended.err


def test_an_interrupted_job_names_the_machines_that_its_cluster_had(
    covey: CommandLine, ledger: Path
) -> None:
    files = ClusterFiles(covey.home / "default")

    def had(*hosts: Host) -> str:
        files.change_traces(lambda _: [Trace(host, "python3", "a.pyz") for host in hosts])
        return covey("show", "last").out.splitlines()[-1].removeprefix("next: ")

    typed = [Host(f"h{n}", f"h{n}", user="pi", where="the command line") for n in range(9)]
    assert had(*typed[:2]) == "covey up pi@h0 pi@h1"
    assert had(*typed).endswith("pi@h7 …")
    listed = Host("a", "10.0.0.1", where="my hosts.csv:3")
    assert had(typed[0], listed) == "covey up -H 'my hosts.csv' pi@h0"
    assert had(Host("b", "10.0.0.2", where="covey.toml:7")) == "covey up"
    ended = covey("resume", "3")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == "covey: cluster default is not up — start it with: covey up\n"


def test_logs_give_the_bytes_that_tasks_wrote(covey: CommandLine, ledger: Path) -> None:
    done = covey.raw(["logs", "1"])
    assert done.stdout == b"one\n\xff\xfe"
    assert done.stderr == b"1\n2\n3\n4\n5\nno \x1b[1msuch\n"
    assert covey.raw(["logs", "1.3"]).stdout == b"\xff\xfe"
    assert covey.raw(["logs", "1.2-3", "--tag"]).stdout == b"1.3\t\xff\xfe"
    assert covey.raw(["logs", "--failed", "1"]).stdout == b"\xff\xfe"


def test_logs_as_json_fit_their_schema(covey: CommandLine, ledger: Path) -> None:
    tasks = checked("logs", covey("logs", "1", "--json").out)["tasks"]
    assert [task["task"] for task in tasks] == [1, 2, 3]
    assert tasks[2]["stdout"] == {"base64": base64.b64encode(b"\xff\xfe").decode()}
    assert checked("logs", covey("logs", "1.3", "--json").out)["tasks"] == tasks[2:]


def test_following_an_ended_job_prints_all_of_it_and_ends(covey: CommandLine, ledger: Path) -> None:
    assert covey.raw(["logs", "-f", "1"]).stdout == b"one\n\xff\xfe"
    lines = covey("logs", "-f", "1", "--json").out.splitlines()
    values = [checked("logs-follow", line) for line in lines]
    assert [(v["task"], v["stream"]) for v in values] == [
        (1, "stdout"),
        (2, "stderr"),
        (3, "stdout"),
    ]
    assert covey.raw(["logs", "-f", "3.1"]).returncode == 0


def test_logs_of_a_task_that_is_not_there_or_not_done(covey: CommandLine, ledger: Path) -> None:
    assert covey("logs", "1.9").err == "covey: job 1 has no task 9 — it has 3\n"
    assert covey("logs", "3.2").err == (
        "covey: 3.2 has not ended — follow it with: covey logs -f 3.2\n"
    )
    assert covey("logs", "1.last").code == 2


def test_a_joblog_is_gnu_parallels(covey: CommandLine, ledger: Path) -> None:
    lines = covey.raw(["joblog", "1"]).stdout.splitlines()
    assert lines == [
        b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand",
        b"1\tlocal1\t1795168801.000\t     0.500\t0\t4\t0\t0\tgzip -k a.log",
        b"2\tlocal1\t1795168802.000\t     2.500\t0\t0\t2\t0\tgzip -k 'b b.log'",
        b"3\tlocal2\t1795168803.000\t     0.500\t0\t2\t0\t9\tgzip -k 'caf\xe9'",
    ]
    tasks = checked("joblog", covey("joblog", "1", "--json").out)["tasks"]
    assert [task["command"] for task in tasks[:2]] == ["gzip -k a.log", "gzip -k 'b b.log'"]


@pytest.mark.parametrize(
    ("state", "columns"), [(OutcomeState.TIMED_OUT, ("-1", "15")), (OutcomeState.LOST, ("-1", "0"))]
)
def test_what_covey_killed_is_never_a_success_in_the_joblog(
    covey: CommandLine, ledger: Path, state: OutcomeState, columns: tuple[str, str]
) -> None:
    Recorded(4, "true {}").items(b"x\ny").task(1, state).ended(JobState.FAILED).write(ledger)
    line = covey.raw(["joblog", "4"]).stdout.splitlines()[1].decode()
    assert tuple(line.split("\t")[6:8]) == columns
    assert line.endswith("true 'x\0y'")


def test_what_was_cancelled_is_not_done_so_no_joblog_names_it(
    covey: CommandLine, ledger: Path
) -> None:
    job = Recorded(4, "true {}").items(b"x", b"y").task(1).task(2, OutcomeState.CANCELLED)
    job.ended(JobState.CANCELLED).write(ledger)
    assert len(covey("joblog", "4").out.splitlines()) == 2
    tasks = checked("joblog", covey("joblog", "4", "--json").out)["tasks"]
    assert [task["state"] for task in tasks] == ["succeeded", "cancelled"]


def test_attach_to_an_ended_job_gives_maps_exit_code(covey: CommandLine, ledger: Path) -> None:
    ended = covey("attach", "1")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "job 1 failed: 1 succeeded, 2 failed in 10 s\n"
    assert covey("attach", "2", "--all").out == "x\n"
    assert covey("attach", "2").code == 0
    assert checked("attach", covey("attach", "1", "--json").out)["failed"] == 2


def test_more_than_100_failed_items_are_101(covey: CommandLine, ledger: Path) -> None:
    job = Recorded(4, "false {}").items(*[b"%d" % i for i in range(150)])
    for task in range(1, 151):
        job.task(task, FAILED, report=Report(exit=1))
    job.ended(JobState.FAILED).write(ledger)
    assert covey("attach", "4").code == 101
    assert "and 145 more: covey joblog 4" in covey("show", "4").out


def test_what_has_ended_is_neither_cancelled_nor_resumed(covey: CommandLine, ledger: Path) -> None:
    assert covey("cancel", "1").out == "job 1 had ended already (failed)\n"
    value = checked("cancel", covey("cancel", "1-2", "--json").out)
    assert [(c["job"], c["state"]) for c in value["cancelled"]] == [(1, "failed"), (2, "succeeded")]
    ended = covey("resume", "1")
    assert ended.code == 1
    assert ended.err == "covey: job 1 has ended (failed): nothing is left to run\n"


def test_a_job_of_a_head_that_is_down_needs_the_head(covey: CommandLine, ledger: Path) -> None:
    for words in (["cancel", "3"], ["resume", "3"]):
        ended = covey(*words)
        assert ended.code == 1
        assert "covey up --local" in ended.err


def test_prune_forgets_what_ended_long_ago(covey: CommandLine, ledger: Path) -> None:
    Recorded(4, "true", created=4e9).items(b"x").task(1).ended(JobState.SUCCEEDED).write(ledger)
    value = checked("prune", covey("prune", "--older", "0s", "--json").out)
    assert value["jobs"] == [1, 2]
    left = checked("jobs", covey("jobs", "--json").out)["jobs"]
    assert [job["job"] for job in left] == [3, 4]
    assert covey("prune", "--older", "30d").out.startswith("0 jobs forgotten")


def test_clusters_do_not_see_each_others_jobs(covey: CommandLine, ledger: Path) -> None:
    for words in (["--cluster", "lab", "jobs"], ["jobs", "--cluster=lab"]):
        assert covey(*words).out.startswith("no jobs yet")
    covey.env["COVEY_CLUSTER"] = "lab"
    assert covey("jobs").out.startswith("no jobs yet")
    assert len(covey("--cluster", "default", "jobs").out.splitlines()) == 4


def test_every_schema_is_a_schema_and_says_what_it_is_of() -> None:
    names = [path.stem for path in SCHEMAS.glob("*.json")]
    listed = (SCHEMAS / "README.md").read_text()
    for name in names:
        found = schema(name)
        assert found["title"].startswith(("covey ", "One line of covey "))
        assert found["properties"]["schema"] == {"const": 1}
        assert f"({name}.json)" in listed
    shared = {
        json.dumps(schema(n)["$defs"]["text"])
        for n in names
        if "text" in schema(n).get("$defs", {})
    }
    assert len(shared) == 1
