"""The bare queues of `policies` stand for the very cores: where both can run, they agree."""

from dataclasses import replace
from statistics import mean

import pytest
from tests.simulator.telling import tell

from covey.model import policy as p
from covey.sim.faults import Faults
from covey.sim.figures import studies
from covey.sim.links import Latency
from covey.sim.study import Study, run
from covey.sim.workload import Workload

SEEDS = (1, 2, 3, 4, 5)

pytestmark = pytest.mark.timeout(900)


def a_study(**changes: object) -> Study:
    study = Study(machines=40, schedulers=3, workload=Workload(jobs=150, tasks=10), warm_up=0.1)
    return replace(study, **changes)  # pyright: ignore[reportArgumentType]


#: Agents share out fairly among jobs; a bare queue does not. Where tasks of a job wait behind each
#: other that tells, so random placement differs most.
@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [(p.RANDOM, 0.25), (p.CHOOSE_TWO, 0.10), (p.BATCH, 0.08), (p.LATE_BINDING, 0.08)],
)
def test_the_cores_and_the_bare_queues_give_the_same_medians(policy: str, tolerance: float):
    medians: dict[str, float] = {}
    messages: dict[str, float] = {}
    for engine in ("cores", "policies"):
        runs = [run(a_study(policy=policy, engine=engine, seed=seed)) for seed in SEEDS]
        points = [one.points[0] for one in runs]
        assert not any(point.unfinished for point in points)
        medians[engine] = mean(point.p50_s for point in points)
        messages[engine] = mean(point.messages_per_task for point in points)
    tell(f"{policy}: medians {medians}, messages per task {messages}")
    assert medians["cores"] == pytest.approx(medians["policies"], rel=tolerance)
    assert messages["cores"] == pytest.approx(messages["policies"], rel=0.06)


def test_machines_that_die_lose_no_task():
    study = a_study(engine="cores", faults=Faults(deaths=6, down_s=0.5), cut_after_s=120.0)
    (point,) = run(study).points
    assert point.unfinished == 0
    assert point.p99_s > run(a_study(engine="cores")).points[0].p99_s


def test_messages_that_come_late_lose_no_task():
    latency = Latency(kind="exponential", late_share=0.01, late_s=0.3)
    (point,) = run(a_study(engine="cores", latency=latency, cut_after_s=120.0)).points
    assert point.unfinished == 0


def test_a_high_priority_hardly_notices_a_low_one_that_wants_everything():
    """Section 7.8: the median of the high priority is inflated by less than 40 %."""
    common = a_study(
        machines=10, slots=16, engine="cores", warm_up=0.0, load=1.0,
        workload=Workload(jobs=40, tasks=10, durations="constant"),
    )  # fmt: skip
    runs = studies("isolation", common, (p.LATE_BINDING,), (1.0,), (2.0,))
    medians = {
        study.label: next(point.p50_s for point in run(study).points if point.part == "high")
        for study in (runs[0], runs[-1])
    }
    tell(medians)
    assert medians["low 1.75"] < 1.4 * medians["low 0"]


def test_shares_of_users_follow_their_demand():
    """Section 7.7: who asks for less than half has it; who asks for more has what is left."""
    common = a_study(
        machines=10, engine="cores", warm_up=0.0, load=1.0,
        workload=Workload(jobs=1_000_000, tasks=10, durations="constant"),
    )  # fmt: skip
    (study,) = studies("fairness", common, (p.LATE_BINDING,), (1.0,), (2.0,))
    usage = run(study).usage
    start, phases = usage[0][0], len(study.workload.phases)
    shares: list[float] = []
    for phase in range(phases):
        # The second half of a phase: what was begun before has ended.
        rows = [busy for at, busy in usage if phase + 0.4 <= (at - start) < phase + 1]
        shares.append(mean(busy.get("second", 0) / 40 for busy in rows))
    tell([f"{share:.2f}" for share in shares])
    assert shares[0] == 0.0
    assert shares[2] > shares[1] > 0.10
    assert shares[2] > shares[3] > 0.10
    assert shares[4] < 0.15
