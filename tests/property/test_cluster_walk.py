"""Thousands of seeded schedules of faults; every seed that ever failed is walked again.

COVEY_WALKS=N walks N other seeds, COVEY_WALK_FROM where to begin (the nightly run moves it).
"""

import os
from pathlib import Path

import pytest
from tests.property.walk import Walk

SEEDS = Path(__file__).with_name("seeds.txt")
#: Walks per run: about 5 seconds. `COVEY_WALKS=2000` takes a minute or two.
WALKS = int(os.environ.get("COVEY_WALKS", "100"))
WALK_FROM = int(os.environ.get("COVEY_WALK_FROM", "0"))
#: Walks in one test, so that a failure names a small range and xdist can share them out.
SLICE = 25


def seeds_that_failed() -> list[int]:
    lines = SEEDS.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("seed", seeds_that_failed())
def test_a_walk_that_once_failed_does_not_fail_again(seed: int) -> None:
    Walk(seed).run()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("first", range(WALK_FROM, WALK_FROM + WALKS, SLICE))
def test_the_laws_hold_on_random_walks_through_faults(first: int) -> None:
    for seed in range(first, first + SLICE):
        walk = Walk(seed)
        try:
            walk.run()
        except Exception as error:
            error.add_note(f"seed {seed} (add it to {SEEDS.name}); last steps: {walk.log[-20:]}")
            raise
