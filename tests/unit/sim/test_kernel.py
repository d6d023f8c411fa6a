"""Virtual time, latencies, what arrives, and how it is summed up."""

import random
from statistics import mean

import pytest

from covey.model import policy as p
from covey.sim.closed_forms import late_binding_idle, zero_wait
from covey.sim.kernel import Kernel
from covey.sim.links import Latency
from covey.sim.report import cdf, percentile
from covey.sim.workload import Stream, Workload


def test_events_happen_in_order_of_time_and_of_setting_among_equals():
    kernel = Kernel("seed", hop_s=2.0)
    seen: list[tuple[float, str]] = []

    def note(what: str) -> None:
        seen.append((kernel.now, what))

    kernel.soon(note, "lane at 2")
    kernel.at(2.0, note, "heap at 2, later set")
    kernel.at(1.0, note, "first")
    kernel.after(3.0, note, "last")
    kernel.run(until=2.0)
    assert [what for _, what in seen] == ["first", "lane at 2", "heap at 2, later set"]
    assert not kernel.is_idle
    kernel.run()
    assert seen[-1] == (3.0, "last")
    assert kernel.is_idle
    assert kernel.events == 4


@pytest.mark.parametrize("kind", ["constant", "uniform", "exponential"])
def test_each_kind_of_latency_has_its_mean(kind: str):
    latency = Latency(0.01, kind)  # pyright: ignore[reportArgumentType]
    rng = random.Random(1)
    assert mean(latency.draw(rng) for _ in range(20_000)) == pytest.approx(0.01, rel=0.05)


def test_a_part_of_the_messages_is_late():
    latency = Latency(0.001, late_share=0.1, late_s=1.0)
    rng = random.Random(1)
    late = sum(latency.draw(rng) > 0.5 for _ in range(10_000))
    assert not latency.is_constant
    assert 800 < late < 1200


def test_jobs_arrive_as_fast_as_the_load_says_and_the_same_for_each_draw():
    workload = Workload(jobs=5000, tasks=10, mean_s=0.1).at(0.8)
    jobs = workload.draw(100, "7")
    # 80 of 100 slots are busy: 80 jobs of 10 tasks of 0.1 s each second.
    assert jobs[-1].at == pytest.approx(5000 / 80, rel=0.05)
    assert [job.durations for job in jobs] == [job.durations for job in workload.draw(100, "7")]
    assert jobs[0].at != workload.draw(100, "8")[0].at
    assert all(len(set(job.durations)) == 1 for job in jobs)


def test_durations_come_from_a_trace_round_and_round():
    jobs = Workload(jobs=2, tasks=3, trace=(1.0, 2.0)).draw(10, "1")
    assert [job.durations for job in jobs] == [[1.0, 2.0, 1.0], [2.0, 1.0, 2.0]]


def test_phases_follow_each_other_and_users_ask_for_their_part():
    phases = ((10.0, (Stream(0.5, "a"),)), (10.0, (Stream(0.2, "a"), Stream(0.6, "b", priority=3))))
    jobs = Workload(jobs=10**6, tasks=1, durations="constant", phases=phases).draw(100, "1")
    assert {job.user for job in jobs if job.at < 10} == {"a"}
    late = [job for job in jobs if job.at >= 10]
    share = sum(job.user == "b" for job in late) / len(late)
    assert share == pytest.approx(0.75, abs=0.02)
    assert {job.priority for job in late if job.user == "b"} == {3}
    assert jobs[-1].at < 20


def test_percentiles_are_values_that_occurred():
    assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.0
    assert percentile([1.0, 2.0, 3.0, 4.0], 99) == 4.0
    assert percentile([], 50) == 0.0
    assert cdf([1.0, 2.0, 3.0, 4.0], steps=2) == [(0.5, 2.0), (1.0, 4.0)]


def test_closed_forms_say_what_the_paper_prints():
    assert zero_wait(p.CHOOSE_TWO, 0.2, 100) == pytest.approx(0.0169, abs=0.0001)
    assert zero_wait(p.BATCH, 0.79, 100, 2.0, 4) == pytest.approx(0.9994, abs=0.0001)
    assert zero_wait(p.LATE_BINDING, 0.85, 100, 2.0, 4) == pytest.approx(0.29, abs=0.01)
    assert zero_wait(p.RANDOM, 0.5, 2) == 0.25
    assert zero_wait(p.JSQ, 0.5, 2) is None
    assert 0.99 < (zero_wait(p.BATCH, 0.4, 5000) or 0.0) <= 1.0  # no overflow
    assert late_binding_idle(0.1, 0.001) == pytest.approx(0.02, abs=0.001)
