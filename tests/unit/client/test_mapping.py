"""How many calls `Executor.map` puts into a task."""

import pickle
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import pytest

from covey.client.future import Future
from covey.client.mapping import BATCH_MAX, Batching, Mapping
from covey.model.context import TURN_TAG
from covey.model.report import VALUE_TAG
from covey.model.task import OutcomeState

Deliver = Callable[["Future[Any]", bytes | None, int], None]


class Road:
    """Carries tasks there and back, each for as long as is said; there is no other time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, journey_s: float, call_s: float) -> None:
        self.now = 0.0
        self.journey_s = journey_s
        self.call_s = call_s
        self.sizes: list[int] = []
        self.under_way: deque[tuple[Future[Any], bytes, Deliver]] = deque()
        monkeypatch.setattr("covey.client.mapping.time.perf_counter", lambda: self.now)

    def submit(self, future: "Future[Any]", payload: bytes, deliver: Deliver) -> None:
        self.under_way.append((future, payload, deliver))

    def carry(self, result_of: Callable[[int], object]) -> None:
        """Bring back all that is under way, and what is sent meanwhile."""
        while self.under_way:
            future, payload, deliver = self.under_way.popleft()
            assert payload[:1] == TURN_TAG
            calls = cast(list[tuple[int]], pickle.loads(payload[1:]))
            self.sizes.append(len(calls))
            self.now += self.journey_s
            done = [result_of(number) for (number,) in calls]
            report = VALUE_TAG + pickle.dumps((done, self.call_s * len(calls)))
            deliver(future, report, OutcomeState.SUCCEEDED)


def mapped(road: Road, calls: int, result_of: Callable[[int], object]) -> list[object]:
    how = Batching(size=1, adapts=True, ahead=None, slots=4)
    mapping = Mapping(Future, road.submit, iter([(n,) for n in range(calls)]), how)
    road.carry(result_of)
    return list(mapping.results(None))


def test_short_calls_share_tasks_however_long_the_journey_is(monkeypatch: pytest.MonkeyPatch):
    road = Road(monkeypatch, journey_s=0.2, call_s=1e-6)
    assert mapped(road, 20_000, lambda n: n) == list(range(20_000))
    assert max(road.sizes) == BATCH_MAX
    assert len(road.sizes) < 100


def test_long_calls_go_one_by_one_however_short_the_journey_is(monkeypatch: pytest.MonkeyPatch):
    road = Road(monkeypatch, journey_s=1e-6, call_s=0.02)
    assert mapped(road, 200, lambda n: n) == list(range(200))
    assert set(road.sizes) == {1}


def test_calls_with_large_results_do_not_share_a_task(monkeypatch: pytest.MonkeyPatch):
    road = Road(monkeypatch, journey_s=0.001, call_s=1e-6)
    assert len(mapped(road, 50, lambda _: bytes(100_000))) == 50
    assert set(road.sizes) == {1}
