"""Whoever waits until nothing runs on a machine is not deceived by a moment of silence."""

from typing import Any

import pytest

from covey.head import waiting
from covey.head.waiting import SILENT_MAX_S, HeadWatch

READY, SILENT, LOST = "ready", "unreachable", "lost"


class Watch(HeadWatch):
    """What the head answers is told beforehand; the last of it again and again."""

    def __init__(self, *states: tuple[str, int]) -> None:
        self._lock = waiting.threading.Lock()
        self._waiting = set()
        self.states = list(states)

    def ask(self, what: str, **args: Any) -> dict[str, Any]:
        state, busy = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return {"machines": {"lab1": {"state": state, "busy": busy}}}


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [100.0]

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    monkeypatch.setattr(waiting.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(waiting.time, "sleep", sleep)
    return clock


def test_a_machine_that_is_silent_for_a_moment_is_not_taken_for_idle() -> None:
    watch = Watch((READY, 1), (SILENT, 0), (SILENT, 0), (READY, 1), (READY, 0))
    watch.await_idle("lab1")
    assert watch.states == [(READY, 0)]


@pytest.mark.parametrize("state", [LOST, "left", "joining"])
def test_a_machine_that_is_gone_runs_nothing(state: str) -> None:
    watch = Watch((READY, 2), (state, 0), (READY, 2))
    watch.await_idle("lab1")
    assert watch.states == [(READY, 2)]


def test_a_machine_that_stays_silent_is_not_waited_for_for_ever(now: list[float]) -> None:
    began = now[0]
    Watch((SILENT, 3)).await_idle("lab1")
    assert SILENT_MAX_S < now[0] - began < 2 * SILENT_MAX_S
