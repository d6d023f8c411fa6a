"""For all tests."""

import faulthandler
import os
import signal
import sys
from collections.abc import Generator

import pytest

# A runner that was itself started in the background hands down ignored signals (`nohup … &`):
# tests of Ctrl-C would test that. What we start inherits what we are.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)

#: Over the limit of one test (`timeout` in pyproject.toml), which is an exception in the main
#: thread and comes once: a test that swallows it, or hangs again while it is cleaned up, would
#: hang for ever. Now the process says where it stands and ends; xdist blames the test and starts
#: another process.
HANG_MAX_S = 300.0
_stderr = pytest.StashKey[int]()


def pytest_configure(config: pytest.Config) -> None:
    # Not the one of a captured test.
    config.stash[_stderr] = os.dup(2)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    _guard(item)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    # pytest takes the guard away when a test failed, and the cleaning up is still to come.
    if isinstance(node, pytest.Item):
        _guard(node)


def _guard(item: pytest.Item) -> None:
    faulthandler.dump_traceback_later(HANG_MAX_S, exit=True, file=item.config.stash[_stderr])


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    # At once and not at the end only: a run that is ended from outside has still said why.
    if report.failed and "CI" in os.environ and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stdout.write(f"\n{report.nodeid} ({report.when}):\n{report.longreprtext}\n")
        sys.stdout.flush()
