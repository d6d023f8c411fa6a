"""Runs of a few jobs: what each policy costs, and that no combination hangs."""

from dataclasses import replace

import pytest

from covey.model import policy as p
from covey.sim.study import Study, run
from covey.sim.workload import Workload

SMALL = Study(machines=20, schedulers=2, workload=Workload(jobs=20, tasks=5))


@pytest.mark.parametrize("policy", p.SIMULATED_POLICIES)
@pytest.mark.parametrize("engine", ["cores", "policies"])
@pytest.mark.parametrize("machines", [1, 20])
def test_every_job_ends_under_every_policy(policy: str, engine: str, machines: int):
    if policy == p.LEAST_LOADED and engine == "policies":
        pytest.skip("it needs the books of a scheduler")
    study = replace(SMALL, policy=policy, engine=engine, machines=machines, cut_after_s=300.0)
    (point,) = run(study).points
    assert point.unfinished == 0
    assert point.jobs == 20
    assert point.p50_s >= point.ideal_p50_s > 0


@pytest.mark.parametrize("engine", ["cores", "policies"])
def test_the_same_seed_gives_the_same_result_and_another_one_another(engine: str):
    study = replace(SMALL, engine=engine)
    assert run(study) == run(study)
    assert run(study) != run(replace(study, seed=2))


def test_late_binding_says_d_reservations_and_at_most_as_many_claims_per_task():
    study = replace(SMALL, machines=200, has_cancellation=False)
    (point,) = run(study).points
    # Two reservations, two claims with their answers, one outcome.
    assert point.messages_per_task == pytest.approx(7.0)


def test_slow_machines_make_jobs_slower():
    fast, slow = (run(replace(SMALL, speeds=speeds)).points[0] for speeds in ((1.0,), (1.0, 0.25)))
    assert slow.mean_s > 1.3 * fast.mean_s
    assert slow.zero_wait_expected is None


def test_a_job_that_has_not_ended_at_the_cut_is_told_and_counted_nowhere():
    study = replace(SMALL, machines=1, slots=1, load=1.0, cut_after_s=0.0)
    (point,) = run(study).points
    assert point.unfinished > 0
    assert point.jobs == 20
