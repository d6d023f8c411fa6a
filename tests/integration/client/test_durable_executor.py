"""Executor(durable=True): one job of the head, whose results outlive the program that asked."""

import operator
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

import covey
from covey.errors import JobCancelled, JobNotFound, JobRejected, NotUp, UsageError
from covey.testing import faults
from covey.testing.cluster import Lab
from covey.testing.ending import ended, line_of
from covey.testing.faults import ClusterParts
from covey.testing.waiting import wait_until

#: Longest that one of the programs may take.
PROGRAM_MAX_S = 120.0


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    with Lab(tmp_path) as made:
        for name in ("COVEY_HOME", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, made.env[name])
        yield made


@pytest.fixture
def cluster(lab: Lab) -> Iterator[ClusterParts]:
    with lab.cluster(machines=2) as parts:
        yield parts


def program(lab: Lab, text: str) -> subprocess.Popen[str]:
    """A program of a user, under way."""
    path = lab.directory / "program.py"
    path.write_text(text)
    return subprocess.Popen(
        [sys.executable, "-u", str(path)],
        env=lab.env,
        cwd=lab.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_without_a_head_it_says_what_is_missing(lab: Lab) -> None:
    with pytest.raises(NotUp, match="needs a head"):
        covey.Executor(durable=True)


def test_calls_are_one_job_whose_results_come_back(lab: Lab, cluster: ClusterParts) -> None:
    bias = 7

    def biased(number: int) -> int:
        return number + bias

    with covey.Executor(durable=True) as executor:
        futures = [executor.submit(biased, n) for n in range(20)]
        other = executor.submit(divmod, 7, 3)
        large = executor.submit(operator.mul, b"x", 300_000)
        assert [future.result() for future in futures] == [n + bias for n in range(20)]
        assert other.result() == (2, 1)
        assert large.result() == b"x" * 300_000
        job = executor.job
    assert job is not None
    row = lab.job(job)
    assert (row.state, row.total, row.succeeded) == ("succeeded", 22, 22)
    assert [row.job for row in lab.view.jobs()] == [job]


def test_what_a_call_raises_is_raised(lab: Lab, cluster: ClusterParts) -> None:
    with covey.Executor(durable=True) as executor:
        future = executor.submit(int, "no number")
        with pytest.raises(ValueError, match="no number"):
            future.result()
        died = executor.submit(os._exit, 3)
        with pytest.raises(covey.errors.TaskCrashed):
            died.result()


def test_map_hands_everything_over_at_once_and_keeps_the_order(
    lab: Lab, cluster: ClusterParts
) -> None:
    with covey.Executor(durable=True) as executor:
        assert list(executor.map(pow, range(50), [2] * 50)) == [n * n for n in range(50)]
        batches = executor.map(abs, range(-10, 0), chunksize=4)
        job = executor.job
        wait_until(lambda: lab.job(job or 0).held == 53, describe=lambda: {"held": lab.job(1).held})
        assert list(batches) == list(range(10, 0, -1))
    with covey.Executor.attach(job or 0) as calls:
        assert len(calls) == 53
        assert list(calls.results()) == [n * n for n in range(50)] + list(range(10, 0, -1))


def test_results_survive_the_program_that_asked(lab: Lab, cluster: ClusterParts) -> None:
    gate = lab.directory / "gate"
    asks = program(
        lab,
        f"""
import os, time, covey
def work(n):
    while not os.path.exists({str(gate)!r}):
        time.sleep(0.01)
    return n * 10
executor = covey.Executor(durable=True)
futures = [executor.submit(work, n) for n in range(6)]
print(executor.job, flush=True)
futures[0].result()
""",
    )
    with ended(asks):
        job = int(line_of(asks))
        wait_until(lambda: lab.job(job).held == 6, describe=lambda: {"held": lab.job(job).held})
    with covey.Executor.attach(job) as calls:
        assert not calls[5].done()
        gate.touch()
        assert list(calls.results(timeout=PROGRAM_MAX_S)) == [0, 10, 20, 30, 40, 50]
        assert calls[2].result() == 20
        assert calls[-1].result() == 50
    # The head closes what nobody feeds any more; then the job has ended, and still tells.
    wait_until(lambda: lab.job(job).state == "succeeded", describe=lambda: {"row": lab.job(job)})


def test_results_are_there_when_the_cluster_is_down(lab: Lab) -> None:
    with lab.cluster(), covey.Executor(durable=True) as executor:
        assert list(executor.map(str, range(3))) == ["0", "1", "2"]
        job = executor.job or 0
    calls = covey.Executor.attach(job)
    assert (calls.state, list(calls.results())) == ("succeeded", ["0", "1", "2"])


def test_a_head_that_is_killed_and_started_again_goes_on_with_all_shapes(
    lab: Lab, cluster: ClusterParts
) -> None:
    gate = lab.directory / "gate"

    def wait_and(value: int) -> int:
        import pathlib
        import time

        while not pathlib.Path(gate).exists():
            time.sleep(0.01)
        return value

    with covey.Executor(durable=True) as executor:
        slow = [executor.submit(wait_and, n) for n in range(4)]
        other = [executor.submit(str, n) for n in range(4)]
        limited = executor.with_options(time_limit=PROGRAM_MAX_S).submit(len, "four")
        job = executor.job or 0
        wait_until(lambda: lab.job(job).held == 9, describe=lambda: {"held": lab.job(job).held})
        faults.kill(cluster.head)
        lab.up()
        gate.touch()
        assert [future.result() for future in slow] == [0, 1, 2, 3]
        assert [future.result() for future in other] == ["0", "1", "2", "3"]
        assert limited.result() == 4


def test_a_call_can_be_cancelled_here_and_by_anybody(lab: Lab, cluster: ClusterParts) -> None:
    with covey.Executor(durable=True) as executor:
        job = executor.job or 0
        forever = [executor.submit(_sleep_for_ever) for _ in range(3)]
        wait_until(lambda: lab.job(job).held == 3, describe=lambda: {"held": lab.job(job).held})
        assert forever[0].cancel()
        calls = covey.Executor.attach(job)
        assert calls[1].cancel()
        assert lab("cancel", f"{job}.3").returncode == 0
        wait_until(forever[2].cancelled, describe=lambda: {"future": forever[2]})
        wait_until(lambda: lab.job(job).cancelled == 3, describe=lambda: {"row": lab.job(job)})
        assert executor.submit(abs, -1).result() == 1


def test_a_job_that_somebody_cancelled_takes_nothing_more(lab: Lab, cluster: ClusterParts) -> None:
    with covey.Executor(durable=True) as executor:
        future = executor.submit(_sleep_for_ever)
        job = executor.job or 0
        wait_until(lambda: lab.job(job).held == 1, describe=lambda: {"held": lab.job(job).held})
        assert lab("cancel", str(job)).returncode == 0
        wait_until(future.done, describe=lambda: {"future": future})
        wait_until(lambda: _is_refused(executor), describe=lambda: {"row": lab.job(job)})


def test_without_waiting_the_job_is_left_to_the_head(lab: Lab, cluster: ClusterParts) -> None:
    asks = program(
        lab,
        """
import time, covey
executor = covey.Executor(durable=True)
for n in range(4):
    executor.submit(time.sleep, 0.5)
print(executor.job)
executor.shutdown(wait=False)
""",
    )
    out, err = asks.communicate(timeout=PROGRAM_MAX_S)
    assert (asks.returncode, err) == (0, "")
    job = int(out)
    assert lab.job(job).total == 4
    wait_until(lambda: lab.job(job).state == "succeeded", describe=lambda: {"row": lab.job(job)})


def test_one_job_has_one_number_of_retries(lab: Lab, cluster: ClusterParts) -> None:
    with covey.Executor(durable=True) as executor:
        often = executor.with_options(retries=2)
        assert often.submit(abs, -1).result() == 1
        with pytest.raises(UsageError, match="one number of retries"):
            executor.submit(abs, -1).result()


def test_only_jobs_of_calls_are_attached_to(lab: Lab) -> None:
    assert lab.map("true", ":::", "a").wait() == 0
    with pytest.raises(JobRejected, match="covey show 1"):
        covey.Executor.attach(1)
    with pytest.raises(JobNotFound):
        covey.Executor.attach(99)


def _is_refused(executor: covey.Executor) -> bool:
    try:
        executor.submit(abs, 1).result(timeout=PROGRAM_MAX_S)
    except (JobCancelled, CancelledError):
        return True
    return False


def _sleep_for_ever() -> None:
    import time

    while True:
        time.sleep(1)
