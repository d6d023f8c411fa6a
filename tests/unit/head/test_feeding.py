"""Jobs whose clients are gone are closed: dead ones at once, far ones when they fell silent."""

import pytest

from covey.client.cluster import ProcessRecord, own_record
from covey.head import feeding
from covey.head.feeding import UNHEARD_MAX_S, Feeding


class Jobs:
    """What is needed of DurableJobs."""

    def __init__(self) -> None:
        self.unsealed = [1]
        self.closed: list[int] = []

    def abandon(self, job: int) -> None:
        self.closed.append(job)
        self.unsealed.remove(job)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]
    monkeypatch.setattr(feeding.time, "monotonic", lambda: clock[0])
    return clock


def test_a_far_client_is_waited_for_as_long_as_it_is_heard(now: list[float]) -> None:
    jobs = Jobs()
    one = Feeding(jobs)  # pyright: ignore[reportArgumentType]
    for _ in range(3):
        one.heard(1, ProcessRecord(0, 0))
        now[0] += UNHEARD_MAX_S - 1
        one.look()
    assert jobs.closed == []
    now[0] += 2
    one.look()
    assert jobs.closed == [1]


def test_a_client_here_is_closed_when_it_is_dead_and_not_before(now: list[float]) -> None:
    jobs = Jobs()
    one = Feeding(jobs)  # pyright: ignore[reportArgumentType]
    me = own_record()
    one.heard(1, me)
    now[0] += 10 * UNHEARD_MAX_S
    one.look()
    assert jobs.closed == []
    one.heard(1, ProcessRecord(me.pid, me.started - 1))
    one.look()
    assert jobs.closed == [1]
