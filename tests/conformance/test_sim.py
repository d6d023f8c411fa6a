"""Rows about the simulator: the paper's figures by name, from a seed, into files."""

import json
from typing import Any

import pytest
from tests.conformance.conftest import CommandLine
from tests.integration.cli.schemas import checked

SMALL = ("--machines", "200", "--jobs", "200", "--engine", "policies")


def points(covey: CommandLine, *words: str) -> list[dict[str, Any]]:
    """The points that `covey sim … --json` prints."""
    done = covey("sim", *words, "--json")
    assert done.code == 0, done.err
    assert "events/s" in done.err
    return checked("sim", done.out)["points"]


@pytest.mark.row(15)
def test_figure_3_has_its_order_at_80_percent_load(covey: CommandLine):
    found = {p["policy"]: p["p50_s"] for p in points(covey, "fig3", *SMALL, "--loads", "0.8")}
    order = ["OMNISCIENT", "BATCH+LATE_BINDING", "BATCH", "CHOOSE_TWO", "RANDOM"]
    assert sorted(found, key=found.__getitem__) == order


@pytest.mark.row(15)
def test_a_seed_gives_the_same_bytes_and_files_for_other_programs(covey: CommandLine):
    words = ("sim", "--policy", "batch", *SMALL, "--seed", "5", "--json")
    first, second = (covey(*words, "--csv", f"{n}.csv", "--svg", f"{n}.svg") for n in ("a", "b"))
    assert first.out == second.out
    assert (covey.directory / "a.csv").read_bytes() == (covey.directory / "b.csv").read_bytes()
    assert (covey.directory / "a.svg").read_bytes() == (covey.directory / "b.svg").read_bytes()
    assert json.loads(first.out)["points"] != points(
        covey, "--policy", "batch", *SMALL, "--seed", "6"
    )


@pytest.mark.row(15)
def test_the_real_cores_run_in_it_with_machines_that_die(covey: CommandLine):
    words = ("--machines", "10", "--jobs", "10", "--tasks", "5", "--schedulers", "2")
    (point,) = points(covey, *words, "--policy", "batch+late_binding", "--deaths", "2")
    assert (point["engine"], point["unfinished"]) == ("cores", 0)


@pytest.mark.row(10)
def test_cancellation_spares_claims_that_would_find_nothing(covey: CommandLine):
    with_it, without = points(covey, "cancellation", *SMALL, "--loads", "0.9")
    assert with_it["messages_per_task"] < without["messages_per_task"]
    assert with_it["p50_s"] <= without["p50_s"]
