"""`covey sparrow` and `covey trace` on machines over real ssh."""

import json
from pathlib import Path

import pytest
from tests.integration.fleet.reach import lab_of

from covey.testing.cluster import Lab


@pytest.mark.timeout(300)
def test_sparrow_runs_on_the_machines_that_are_up_and_their_clocks_are_compared(tmp_path: Path):
    with lab_of(count=2) as far:
        runtime = far.directory / "rt"
        runtime.mkdir(mode=0o700)
        with Lab(tmp_path, far.env | {"XDG_RUNTIME_DIR": str(runtime)}) as covey:
            up = covey("up", "lab1", "lab2", "--slots", "2")
            assert up.returncode == 0, up.stderr
            try:
                words = ("BATCH+LATE_BINDING", "4", "3", "0.05", "--phases", "steps.jsonl")
                done = covey("sparrow", *words, "--json")
                assert done.returncode == 0, done.stderr
                value = json.loads(done.stdout)
                assert (value["machines"], value["slots"]) == (2, 4)
                assert (value["tasks"], value["failed"]) == (12, 0)
                trace = json.loads(covey("trace", "steps.jsonl", "--json").stdout)
                assert trace["tasks"] == 12
                # Both are this computer: its clock agrees with itself.
                assert {clock["ahead_s"] for clock in trace["clocks"].values()} == {0.0}
                assert trace["parts"]["response"]["p50_s"] >= trace["parts"]["service"]["p50_s"]
            finally:
                covey("down")
