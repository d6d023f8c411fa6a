"""Rows about Sparrow: its policies by name on real agents, the load that tries them, and traces."""

import json
from typing import Any

import pytest
from tests.conformance.conftest import CommandLine

PAPER = ("RANDOM", "CHOOSE_TWO", "BATCH", "BATCH+LATE_BINDING")


def sparrow(covey: CommandLine, *words: str) -> dict[str, Any]:
    """What `covey sparrow … --json` prints."""
    done = covey("sparrow", *words, "--json")
    assert done.code == 0, done.err
    value: dict[str, Any] = json.loads(done.out)
    return value


@pytest.mark.row(7)
def test_the_four_policies_run_by_their_names_on_one_draw(covey: CommandLine):
    value = sparrow(covey, "RANDOM", "2", "4", "0.02", "0.01", "--machines", "3", "--compare")
    runs = {run["policy"]: run for run in value["policies"]}
    assert set(PAPER) < set(runs)
    assert {run["tasks"] for run in runs.values()} == {8}
    assert len({run["ideal_p50_s"] for run in runs.values()}) == 1


@pytest.mark.row(7)
def test_a_policy_belongs_to_a_job_and_two_jobs_of_different_ones_run_side_by_side(
    covey: CommandLine,
):
    assert covey("up", "--local", "2", "--slots", "1").code == 0
    try:
        slow = covey.start("map", "--policy", "RANDOM", "sleep 0.05; echo {}", ":::", *"abcdef")
        quick = covey("map", "--policy", "BATCH", "-k", "echo {}", ":::", "1", "2", "3")
        assert (quick.code, quick.out) == (0, "1\n2\n3\n")
        assert slow.wait(100) == 0
    finally:
        assert covey("down").code == 0


@pytest.mark.row(8)
def test_more_probes_per_task_cost_more_messages(covey: CommandLine):
    words = ("BATCH", "4", "2", "0.01", "--machines", "6", "--arrival", "sequence")
    few = sparrow(covey, *words, "--probe-ratio", "1")
    many = sparrow(covey, *words, "--probe-ratio", "3")
    assert few["messages_per_task"] < many["messages_per_task"]
    assert (few["probe_ratio"], many["probe_ratio"]) == (1.0, 3.0)


@pytest.mark.row(8)
def test_the_probe_ratio_is_real_or_auto_and_never_under_one(covey: CommandLine):
    words = ("BATCH+LATE_BINDING", "1", "2", "0.01", "--machines", "2")
    assert sparrow(covey, *words, "--probe-ratio", "1.5")["probe_ratio"] == 1.5
    assert sparrow(covey, *words, "--probe-ratio", "auto")["probe_ratio"] == "auto"
    assert covey("sparrow", *words, "--probe-ratio", "0.5").code == 2


@pytest.mark.row(9)
def test_a_late_bound_task_goes_to_whichever_machine_is_free_first(covey: CommandLine):
    # Two long tasks hold two of three machines: late, the short one never waits behind them.
    draw = covey.directory / "draw"
    lines = ['"covey sparrow trace 1"', '{"at_s": 0, "durations_s": [6.0, 6.0]}']
    lines += [f'{{"at_s": {0.5 + 0.1 * n:.1f}, "durations_s": [0.01]}}' for n in range(8)]
    draw.write_text("\n".join(lines) + "\n")
    words = ("--machines", "3", "--trace", str(draw), "--probe-ratio", "3")
    late = sparrow(covey, "BATCH+LATE_BINDING", *words)
    assert late["jobs"] == 9
    assert late["p50_s"] < 3.0
    assert late["queueing_p50_s"] < 3.0


@pytest.mark.row(10)
def test_reservations_that_are_left_over_are_taken_back_unless_it_is_forbidden(
    covey: CommandLine,
):
    # Two of three machines are busy while short tasks run on the third: what was reserved with
    # the two asks in vain when they are free, before the last job arrives.
    draw = covey.directory / "draw"
    lines = ['"covey sparrow trace 1"', '{"at_s": 0, "durations_s": [4.0, 4.0]}']
    lines += [f'{{"at_s": {0.5 + 0.1 * n:.1f}, "durations_s": [0.01]}}' for n in range(6)]
    lines += ['{"at_s": 7.0, "durations_s": [0.01]}']
    draw.write_text("\n".join(lines) + "\n")
    words = ("BATCH+LATE_BINDING", "--machines", "3", "--trace", str(draw))
    words = (*words, "--probe-ratio", "3")
    kept = sparrow(covey, *words, "--no-cancellation")["messages"]
    taken_back = sparrow(covey, *words, "--cancellation")["messages"]
    assert kept["Claim"] > taken_back["Claim"] + 4


@pytest.mark.row(12)
def test_an_urgent_user_does_not_wait_for_the_others(covey: CommandLine):
    draw = covey.directory / "draw"
    low = json.dumps({"at_s": 0, "durations_s": [0.3] * 48, "user": "low"})
    high = '{"at_s": 0.4, "durations_s": [0.1], "user": "high", "priority": 1}'
    draw.write_text(f'"covey sparrow trace 1"\n{low}\n{high}\n')
    words = ("--machines", "2", "--trace", str(draw))
    users = sparrow(covey, "BATCH+LATE_BINDING", *words)["users"]
    # Two dozen rounds of the low one stand there; the high one waits for one task at most.
    assert users["high"]["p50_s"] < users["low"]["p50_s"] / 2


@pytest.mark.row(14)
def test_the_words_of_the_replication_print_what_it_never_measured(covey: CommandLine):
    done = covey("sparrow", "BATCH+LATE_BINDING", "3", "4", "0.05", "0.02")
    assert done.code == 0, done.err
    assert done.out.startswith("10 virtual machines, 10 slots, 3 jobs × 4 tasks of 0.05 ± 0.02 s")
    for word in ("response", "P50", "P95", "P99", "ideal", "slowdown", "messages per task"):
        assert word in done.out


@pytest.mark.row(14)
def test_a_draw_is_saved_and_run_again(covey: CommandLine):
    words = ("3", "2", "0.03", "0.02", "--load", "0.5", "--seed", "5", "--users", "a:2:0,b:1:1")
    first = sparrow(covey, "BATCH", *words, "--machines", "2", "--save-trace", "draw")
    second = sparrow(covey, "BATCH", "--machines", "2", "--trace", "draw")
    assert second["ideal_p99_s"] == first["ideal_p99_s"]
    assert set(second["users"]) == set(first["users"])
    assert len((covey.directory / "draw").read_text().splitlines()) == 4
    # The file says it all: nothing that is said beside it is passed over in silence.
    done = covey("sparrow", "BATCH", *words, "--machines", "2", "--trace", "draw")
    told = "JOBS, TASKS, DURATION, SPREAD, --seed, --load, --users: --trace draw says already"
    assert (done.code, told in done.err) == (2, True), done.err


@pytest.mark.row(16)
def test_each_task_tells_where_its_time_went_in_our_words_and_sparrows(covey: CommandLine):
    assert covey("map", "--trace", "sleep 0.02 #", ":::", *"abcd").code == 0
    done = covey("trace", "last", "--csv", "cdf.csv", "--perfetto", "trace.json")
    for word in ("queue", "get task", "service", "reservation_enqueued", "task_completed"):
        assert word in done.out
    assert (covey.directory / "cdf.csv").read_text().startswith("part,fraction,seconds\n")
    events = json.loads((covey.directory / "trace.json").read_text())["traceEvents"]
    assert [event["name"] for event in events if event["ph"] == "X"] == [
        "task 1",
        "task 2",
        "task 3",
        "task 4",
    ]
