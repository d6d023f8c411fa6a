"""Executors on this machine; after each test nothing of them may be left."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import covey
from covey.testing.ending import EXECUTOR_MAX_S, shut
from covey.testing.leaks import Traces, no_leaks


@pytest.fixture(scope="session", autouse=True)
def _first_use() -> None:
    """What is made once per process (libuv has a pipe for signals) is no leak."""
    executor = covey.Executor(1, local=True)
    try:
        executor.submit(abs, -1).result(EXECUTOR_MAX_S)
    finally:
        shut(executor)


@pytest.fixture(autouse=True)
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Traces]:
    """What is left behind, checked at the end of each test."""
    monkeypatch.setenv("COVEY_HOME", str(tmp_path / "home"))
    with no_leaks() as found:
        yield found


@pytest.fixture
def ex(traces: Traces) -> Iterator[covey.Executor]:
    """Two slots of this machine."""
    executor = covey.Executor(2)
    yield executor
    # With a limit: what a test that failed has left there may never end.
    shut(executor)
