"""`covey sparrow` and `covey trace` on real agents: what they print, and that nothing stays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cli.command_line import CommandLine
from tests.integration.cli.schemas import checked

from covey.agent import proctree
from covey.model.policy import POLICIES
from covey.testing.leaks import no_leaks
from covey.testing.waiting import wait_until

#: Four tasks on each of two jobs: quick, and more than the slots of three machines.
SMALL = ("2", "4", "0.05", "0.02", "--machines", "3")


def test_json_has_the_figures_of_the_run(covey: CommandLine) -> None:
    done = covey("sparrow", "BATCH+LATE_BINDING", *SMALL, "--json")
    assert done.code == 0, done.err
    value = checked("sparrow", done.out)
    assert (value["jobs"], value["tasks"], value["machines"], value["slots"]) == (2, 8, 3, 3)
    assert 0 < value["zero_wait_p50_s"] <= value["p50_s"] <= value["p95_s"] <= value["p99_s"]
    assert value["zero_wait_p50_s"] <= value["ideal_p50_s"]
    assert value["slowdown_p50"] == pytest.approx(value["p50_s"] / value["ideal_p50_s"], rel=1e-3)
    assert value["messages_per_task"] >= 2
    assert value["failed"] == 0


def test_every_policy_runs_the_same_draw(covey: CommandLine, tmp_path: Path) -> None:
    saved, plot = tmp_path / "draw", tmp_path / "plot.svg"
    words = ("--compare", "--save-trace", str(saved), "--plot", str(plot))
    done = covey("sparrow", "BATCH", *SMALL, *words, "--json")
    assert done.code == 0, done.err
    value = checked("sparrow", done.out)
    assert sorted(one["policy"] for one in value["policies"]) == sorted(POLICIES)
    assert value["policies"][0]["policy"] == value["policy"] == "BATCH"
    assert len({one["ideal_p99_s"] for one in value["policies"]}) == 1
    assert all(one["failed"] == 0 and one["tasks"] == 8 for one in value["policies"])
    assert plot.read_text().startswith("<svg")
    # The same draw again, out of the file, whatever the words say.
    again = covey("sparrow", "RANDOM", "--machines", "3", "--trace", str(saved), "--json")
    assert json.loads(again.out)["ideal_p99_s"] == value["ideal_p99_s"]


def test_a_warmup_that_leaves_nothing_is_told_before_anything_runs(covey: CommandLine) -> None:
    words = ("2", "1", "3600", "--machines", "1", "--load", "0.8", "--warmup", "30d")
    done = covey("sparrow", "BATCH", *words)
    assert (done.code, done.out) == (2, "")
    assert "within the --warmup" in done.err


def test_one_machine_is_enough_for_every_policy_and_many_probes(covey: CommandLine) -> None:
    words = ("2", "3", "0.01", "--machines", "1", "--slots", "2", "--probe-ratio", "3")
    done = covey("sparrow", "CHOOSE_TWO", *words, "--compare", "--json")
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["policies"]) == len(POLICIES)
    assert "more than the 1 machine" in done.err


def test_users_schedulers_arrivals_and_work_can_be_chosen(
    covey: CommandLine, tmp_path: Path
) -> None:
    words = ("--load", "0.5", "--users", "a:2:1,b:1:0", "--schedulers", "2", "--work", "cpu")
    done = covey("sparrow", "RANDOM", "8", "2", "0.01", "--machines", "2", *words, "--json")
    assert done.code == 0, done.err
    value = checked("sparrow", done.out)
    assert set(value["users"]) <= {"a", "b"}
    assert value["users"]
    assert (value["schedulers"], value["arrival"], value["load"]) == (2, "poisson", 0.5)
    turn = covey(
        *("sparrow", "BATCH", "2", "2", "0.01", "--machines", "2", "--arrival", "sequence"),
        *("--work", "memory", "--multi-get", "--no-cancellation", "--json"),
        *("--save-trace", str(tmp_path / "draw")),
    )
    assert turn.code == 0, turn.err
    first = json.loads(turn.out)
    assert first["multi_get"] is True
    # In turn as well, out of the file.
    again = covey(
        *("sparrow", "BATCH", "--machines", "2", "--trace", str(tmp_path / "draw"), "--json")
    )
    value = checked("sparrow", again.out)
    assert (value["ideal_p99_s"], value["seed"]) == (first["ideal_p99_s"], None)


def test_people_get_a_table_and_a_histogram(covey: CommandLine) -> None:
    done = covey("sparrow", "BATCH+LATE_BINDING", *SMALL)
    assert done.code == 0, done.err
    for word in ("response", "ideal", "slowdown", "queueing delay", "messages per task", "█"):
        assert word in done.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("BATSH 1 1 1", "did you mean BATCH"),
        ("OMNISCIENT 1 1 1", "covey sim"),
        ("RANDOM 1 0 1", "TASKS is 0"),
        ("RANDOM -1 1 1", "JOBS is -1"),
        ("RANDOM 1 1 1 2", "SPREAD is 2"),
        ("RANDOM --trace /nowhere", "No such file"),
        ("RANDOM 1 1 1 --trace draw", "JOBS, TASKS, DURATION: --trace draw says already"),
        ("RANDOM 1 1", "DURATION"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(covey: CommandLine, words: str, says: str) -> None:
    done = covey("sparrow", *words.split())
    assert done.code in (1, 2)
    assert done.out == ""
    assert done.err.startswith("covey: ")
    assert done.err.count("\n") == 1
    assert says in done.err


def test_the_cluster_that_is_up_is_used(covey: CommandLine, tmp_path: Path) -> None:
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    try:
        done = covey("sparrow", "BATCH", "2", "2", "0.02", "--json")
        assert done.code == 0, done.err
        assert json.loads(done.out)["machines"] == 2
        assert covey("map", "--trace", "sleep 0.0{}", ":::", "1", "2", "3", "4").code == 0
        trace = checked("trace", covey("trace", "last", "--json").out)
        assert trace["is_traced"] is True
        assert trace["parts"]["service"]["tasks"] == 4
        assert set(trace["clocks"]) <= {"local1", "local2"}
    finally:
        assert covey("down").code == 0


# -------------------------------------------------------------------- covey trace


def test_a_traced_job_tells_all_its_steps(covey: CommandLine, tmp_path: Path) -> None:
    assert covey("map", "--trace", "-j1", "sleep 0.05 #", ":::", *"abc").code == 0
    perfetto, cdf = tmp_path / "p.json", tmp_path / "cdf.csv"
    done = covey("trace", "last", "--perfetto", str(perfetto), "--csv", str(cdf), "--json")
    assert done.code == 0, done.err
    value = checked("trace", done.out)
    assert (value["tasks"], value["is_traced"]) == (3, True)
    steps = ("arrived", "reserved", "queued", "granted", "received", "started", "ended", "recorded")
    assert set(steps) <= set(value["steps"])
    assert value["steps"]["started"]["sparrow_event"] == "node_monitor_task_launch"
    assert value["parts"]["service"]["p50_s"] >= 0.05
    assert value["parts"]["response"]["p99_s"] >= value["parts"]["wait"]["p99_s"]
    events: list[dict[str, Any]] = json.loads(perfetto.read_text())["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) == 3
    assert {line.split(",")[0] for line in cdf.read_text().splitlines()[1:]} == set(value["parts"])
    table = covey("trace", "last")
    assert "queue" in table.out
    assert "node_monitor_task_launch" in table.out


def test_a_job_that_was_not_traced_tells_what_the_ledger_has(covey: CommandLine) -> None:
    assert covey("map", "echo", ":::", "a", "b").code == 0
    value = checked("trace", covey("trace", "last", "--json").out)
    assert (value["tasks"], value["is_traced"]) == (2, False)
    assert set(value["steps"]) == {"arrived", "started", "ended"}
    assert "covey map --trace" in covey("trace", "last").out


def test_the_steps_of_a_sparrow_run_are_traced_from_its_file(
    covey: CommandLine, tmp_path: Path
) -> None:
    phases = tmp_path / "phases.jsonl"
    done = covey("sparrow", "BATCH+LATE_BINDING", *SMALL, "--phases", str(phases))
    assert done.code == 0, done.err
    value = checked("trace", covey("trace", str(phases), "--json").out)
    assert value["tasks"] == 8
    assert {"queue", "get task", "service"} <= set(value["parts"])
    wrong = covey("trace", str(phases), "--policy", "RANDOM")
    assert (wrong.code, "BATCH+LATE_BINDING" in wrong.err) == (2, True)


def test_a_job_that_is_not_there_and_a_file_that_is_none_are_sentences(
    covey: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("nothing\n")
    for word in ("7", str(tmp_path / "file"), str(tmp_path / "missing")):
        done = covey("trace", word)
        assert done.code != 0
        assert (done.out, done.err.count("\n")) == ("", 1)
    for option in ("--perfetto", "--csv"):
        done = covey("trace", "7", option, "/nowhere/x")
        told = f"covey: {option} /nowhere/x: there is no directory /nowhere\n"
        assert (done.code, done.err) == (2, told)


# -------------------------------------------------------------------- faults


def _begin(covey: CommandLine, *words: str) -> subprocess.Popen[str]:
    env = {**covey.env, **{k: v for k, v in os.environ.items() if k.startswith(("XDG", "_COVEY"))}}
    return subprocess.Popen(
        [sys.executable, "-m", "covey", "sparrow", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=env,
    )


def _roots(pid: int) -> list[int]:
    """The root processes that `covey sparrow` started, in their order."""
    return sorted(proctree.children(pid))


def test_a_machine_that_dies_loses_nothing(covey: CommandLine) -> None:
    with no_leaks():
        words = ("BATCH+LATE_BINDING", "20", "6", "0.2", "--machines", "3", "--slots", "2")
        with _begin(covey, *words, "--json") as process:
            wait_until(lambda: len(_roots(process.pid)) == 3, describe="three machines")
            # The last one: the first keeps the bus.
            victim = _roots(process.pid)[-1]
            wait_until(lambda: _is_busy(victim), describe="tasks on the last machine")
            os.kill(victim, signal.SIGKILL)
            out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        value = checked("sparrow", out)
        assert (value["tasks"], value["failed"]) == (120, 0)


def _is_busy(root: int) -> bool:
    """Whether its zygote has forked slot children, and they have been there for a while."""
    return any(len(proctree.children(pid)) >= 2 for pid in proctree.children(root))


def test_nothing_stays_when_it_is_killed(covey: CommandLine) -> None:
    with (
        no_leaks(),
        _begin(covey, "RANDOM", "10", "10", "5", "--machines", "2") as process,
    ):
        wait_until(lambda: len(_roots(process.pid)) == 2, describe="two machines")
        process.kill()
        process.communicate(timeout=60)
