"""`covey sim`: words in, tables and files out."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from covey.cli.main import main
from covey.cli.sim.command import sim
from covey.cli.sim.plan import Asked, planned

SMALL = ("--machines", "20", "--jobs", "30", "--tasks", "5", "--engine", "policies")


def covey_sim(*words: str) -> int:
    return main(["sim", *words])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("fig33",), "did you mean fig3?"),
        (("--policy", "choose-tow"), "did you mean CHOOSE_TWO?"),
        (("--loads", "0.5,-1"), "nothing arrives"),
        (("--loads", "1.2"), "more is asked for than there are slots"),
        (("--loads", "half"), "write numbers"),
        (("--machines", "0"), "between 1 and"),
        (("--machines", "-3"), "between 1 and"),
        (("--tasks", "0"), "between 1 and"),
        (("--jobs", "99999999999"), "between 1 and"),
        (("--probe-ratio", "0.5"), "1 or more, or auto"),
        (("--probe-ratio", "9", "--machines", "3"), "has 3 machines only"),
        (("--probe-ratio", "2,0"), "1 or more, or auto"),
        (("--processes", "0"), "--processes 0: give 1 or more"),
        (("--csv", "/nowhere/a.csv"), "--csv /nowhere/a.csv: there is no directory"),
        (("--cdf", "/etc/hostname/cdf"), "/etc/hostname is no directory"),
        (("--rtt", "soon"), "--rtt: 'soon' is no length of time"),
        (("--mean", "0"), "more than 0"),
        (("--late-share", "2"), "from 0 to below 1"),
        (("--deaths", "-1"), "0 or more"),
        (("--deaths", "1", "--policy", "batch", "--engine", "policies"), "needs the engine"),
        (("fairness", "--engine", "policies"), "needs the engine"),
        (("--trace", "/nowhere/at/all"), "No such file"),
        (("--speeds", "1,0"), "more than 0"),
        (("--speeds", "1,2", "--policy", "omniscient"), "one speed only"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert covey_sim(*words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_json_has_a_point_per_policy_and_load(capsys: pytest.CaptureFixture[str]):
    assert covey_sim(*SMALL, "--loads", "0.3,0.6", "--processes", "1", "--json") == 0
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert told["schema"] == 1
    assert [(point["policy"], point["load"]) for point in told["points"]] == [
        (policy, load)
        for load in (0.3, 0.6)
        for policy in ("RANDOM", "CHOOSE_TWO", "BATCH", "BATCH+LATE_BINDING", "OMNISCIENT")
    ]
    assert all(0 < point["p50_s"] <= point["p95_s"] <= point["p99_s"] for point in told["points"])
    assert "events/s" in out.err


def test_the_same_seed_writes_the_same_bytes_however_many_processes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said: list[str] = []
    for processes in ("1", "2"):
        directory = tmp_path / processes
        directory.mkdir()
        files = (
            "--csv",
            f"{directory}/a.csv",
            "--svg",
            f"{directory}/a.svg",
            "--cdf",
            f"{directory}/cdf",
        )
        assert covey_sim(*SMALL, "--processes", processes, "--json", *files) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    one, two = (
        {path.relative_to(tmp_path / n): path.read_bytes() for path in (tmp_path / n).rglob("*.*")}
        for n in ("1", "2")
    )
    assert one == two
    assert len(one) == 2 + 5


def test_files_can_be_read_by_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("--csv", f"{tmp_path}/a.csv", "--svg", f"{tmp_path}/a.svg", "--cdf", f"{tmp_path}/cdf")
    assert covey_sim("fig9", *SMALL, "--processes", "1", *words) == 0
    assert "no wait" in capsys.readouterr().out
    head, *rows = (tmp_path / "a.csv").read_text().splitlines()
    assert head.startswith("policy,load,")
    assert len(rows) == 12
    ElementTree.parse(tmp_path / "a.svg")
    fractions = [
        float(line.split("\t")[0])
        for line in next((tmp_path / "cdf").iterdir()).read_text().splitlines()
    ]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_what_cannot_be_written_is_said(capsys: pytest.CaptureFixture[str]):
    assert covey_sim(*SMALL, "--processes", "1", "--csv", "/nowhere/at/all.csv") == 2
    assert "/nowhere/at/all.csv" in capsys.readouterr().err


def test_durations_come_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "durations").write_text("0.25\n0.25\n")
    words = ("--trace", f"{tmp_path}/durations", "--policy", "omniscient", "--processes", "1")
    assert covey_sim(*SMALL, *words, "--json") == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert point["ideal_p50_s"] == 0.25


def test_small_clusters_run_the_cores_and_faults_need_them(capsys: pytest.CaptureFixture[str]):
    words = ("--machines", "8", "--jobs", "10", "--tasks", "4", "--schedulers", "2")
    more = ("--policy", "batch+late_binding", "--deaths", "2", "--processes", "1", "--json")
    assert covey_sim(*words, *more) == 0
    (point,) = json.loads(capsys.readouterr().out)["points"]
    assert point["engine"] == "cores"
    assert point["unfinished"] == 0


@pytest.mark.parametrize("odd", [("--deaths", "1"), ("--speeds", "1,2")])
def test_who_knows_only_machines_alike_is_left_out_unless_named(
    odd: tuple[str, ...], capsys: pytest.CaptureFixture[str]
):
    words = ("--machines", "4", "--jobs", "4", "--tasks", "2", "--schedulers", "1", *odd)
    assert covey_sim(*words, "--processes", "1", "--json") == 0
    points = json.loads(capsys.readouterr().out)["points"]
    assert [point["policy"] for point in points] == [
        *("RANDOM", "CHOOSE_TWO", "BATCH", "BATCH+LATE_BINDING"),
    ]
    assert covey_sim(*words, "--policy", "omniscient") == 2


@pytest.mark.parametrize(("figure", "engine"), [("", "cores"), ("fig3", "policies")])
def test_all_that_is_compared_runs_on_one_engine_that_ends_soon(figure: str, engine: str):
    """Each point of the figure alone is small enough for the cores; all together are not."""
    given = sim.make_context("sim", [figure, "--machines", "50", "--jobs", "50"]).params
    words = {name: given[name] for name in Asked.__dataclass_fields__}
    assert {study.engine for study in planned(Asked(**words)).studies} == {engine}


def test_a_part_of_which_no_job_has_ended_has_no_figures(capsys: pytest.CaptureFixture[str]):
    words = ("fairness", "--machines", "4", "--jobs", "100", "--seed", "1", "--processes", "1")
    assert covey_sim(*words) == 0
    (first,) = (line for line in capsys.readouterr().out.splitlines() if "share first" in line)
    assert first.split("share first")[1].split()[:6] == ["-"] * 6
