"""`covey sparrow --schedulers s1,s2`: jobs go through running `covey scheduler`s."""

import json
from collections.abc import Generator
from pathlib import Path

import pytest
from tests.integration.cli.schemas import checked

from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until

pytestmark = pytest.mark.timeout(600)

#: Longest that something may take to be seen on a starved machine.
SEEN_MAX_S = 120.0


@pytest.fixture
def lab(tmp_path: Path) -> Generator[Lab]:
    """A cluster with the schedulers s1 and s2."""
    with Lab(tmp_path) as lab, lab.cluster(machines=2, slots=2):
        yield lab


def _scheduler(lab: Lab, name: str) -> Call:
    call = lab.start("scheduler", "--name", name)
    wait_until(lambda: b"ready" in call.out, describe=lambda: call.err, timeout_s=SEEN_MAX_S)
    return call


def _busy(lab: Lab) -> int:
    return sum(one["busy"] or 0 for one in json.loads(lab("status", "--json").stdout)["machines"])


def test_every_policy_runs_through_the_schedulers_that_are_named(lab: Lab) -> None:
    schedulers = [_scheduler(lab, "s1"), _scheduler(lab, "s2")]
    words = ("BATCH", "4", "3", "0.05", "0.02", "--schedulers", "s1,s2", "--compare")
    done = lab("sparrow", *words, "--json")
    assert done.returncode == 0, done.stderr
    value = checked("sparrow", done.stdout)
    names = (value["schedulers"], value["scheduler_names"], value["schedulers_lost"])
    assert names == (2, ["s1", "s2"], [])
    assert (value["machines"], value["slots"]) == (2, 4)
    for one in value["policies"]:
        assert (one["tasks"], one["failed"]) == (12, 0), one
        assert 0 < one["zero_wait_p50_s"] <= one["p50_s"]
        # The schedulers say what they said, and when the steps of each task were.
        assert one["messages_per_task"] >= 1
        assert one["messages"]["Finished"] <= 12
        assert one["wait_p50_s"] > 0
    # All that it said was signed for the schedulers that run.
    assert [scheduler.err for scheduler in schedulers] == ["", ""]


def test_what_others_submit_meanwhile_leaves_the_messages_unknown(lab: Lab) -> None:
    _scheduler(lab, "s1")
    held = lab.start("sparrow", "BATCH", "1", "1", "30", "--schedulers", "s1")
    wait_until(lambda: _busy(lab) > 0, describe=lambda: held.err, timeout_s=SEEN_MAX_S)
    done = lab("sparrow", "BATCH", "2", "2", "0.02", "--schedulers", "s1", "--json")
    assert done.returncode == 0, done.stderr
    value = checked("sparrow", done.stdout)
    assert (value["messages_per_task"], value["messages"]) == (None, {})
    assert value["wait_p50_s"] > 0


def test_jobs_of_a_scheduler_that_is_killed_go_on_at_the_next(lab: Lab, tmp_path: Path) -> None:
    first, _ = _scheduler(lab, "s1"), _scheduler(lab, "s2")
    phases = tmp_path / "phases"
    # More jobs at each than one probe asks after.
    words = ("BATCH+LATE_BINDING", "48", "1", "0.8", "--schedulers", "s1,s2")
    call = lab.start("sparrow", *words, "--phases", str(phases), "--json")
    wait_until(lambda: _busy(lab) > 0, describe=lambda: call.err, timeout_s=SEEN_MAX_S)
    first.kill()
    assert call.wait() == 0, call.err
    value = checked("sparrow", call.out.decode())
    assert (value["scheduler_names"], value["schedulers_lost"]) == (["s1", "s2"], ["s1"])
    assert (value["jobs"], value["tasks"], value["failed"]) == (48, 48, 0)
    assert value["messages_per_task"] is None
    said = "scheduler s1 does not run any more: what had not ended there goes on at the next"
    assert call.err.splitlines() == [said]
    assert len(phases.read_text().splitlines()) == 48
    # The next run says that it does without it.
    again = lab("sparrow", "BATCH", "2", "2", "0.02", "--schedulers", "s1,s2")
    assert again.returncode == 0, again.stderr
    assert again.stderr == "scheduler s1 does not run: jobs are dealt out to the others\n"
    assert "schedulers s1, s2" in again.stdout


def test_what_makes_no_sense_is_one_sentence(lab: Lab) -> None:
    _scheduler(lab, "fast")
    for words, code, said in [
        (("--schedulers", "fsat"), 2, "did you mean fast"),
        (("--schedulers", "fast", "--users", "a:2:0"), 2, "[users] of covey.toml"),
        (("--schedulers", "fast", "--probe-ratio", "9"), 1, "there are 2"),
    ]:
        done = lab("sparrow", "BATCH", "2", "2", "0.02", *words)
        assert done.returncode == code, done
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_without_a_cluster_there_are_no_names(tmp_path: Path) -> None:
    with Lab(tmp_path) as lab:
        done = lab("sparrow", "BATCH", "2", "2", "0.02", "--schedulers", "s1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "covey up --local 2" in done.stderr
