"""Run tests that start real processes; the few that failed are run again, alone (ADR 14).

    python tools/second_try.py [OPTION OF PYTEST ...] TESTS

Exit code 0 also where a test failed beside others and passed alone: then its name is the last thing
printed. More than `SECOND_TRIES_MAX` failures are no chance, and are not tried again.
"""

import json
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

#: So many failures of one tier may be owed to the machine, and are tried again.
SECOND_TRIES_MAX = 3
#: pytest's exit code for "some tests failed"; any other is a fault of the run itself.
TESTS_FAILED = 1
#: One tier takes a quarter of it on two quiet cores. A run that stands still is ended here, where
#: it can still say what it saw, and not by whoever started it.
TIER_MAX_S = 3600.0
#: Then it has so long for its summary.
SUMMARY_MAX_S = 60.0


def _failed(tests: str) -> list[str]:
    """The tests that pytest remembers as failed."""
    cache = Path(".pytest_cache/v/cache/lastfailed")
    names = json.loads(cache.read_text()) if cache.exists() else {}
    return sorted(name for name in names if name.startswith(tests))


def _pytest(*arguments: str) -> int:
    with subprocess.Popen([sys.executable, "-m", "pytest", "-q", *arguments]) as run:
        try:
            return run.wait(TIER_MAX_S)
        except subprocess.TimeoutExpired:
            print(f"not done in {TIER_MAX_S:g} s: ended", flush=True)
            run.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                run.wait(SUMMARY_MAX_S)
            run.kill()
            return run.wait() or TESTS_FAILED


def main(arguments: list[str]) -> int:
    """Both tries; the exit code."""
    status = _pytest(*arguments)
    if status != TESTS_FAILED:
        return status
    failed = _failed(arguments[-1])
    if not 0 < len(failed) <= SECOND_TRIES_MAX:
        return status
    print(f"{len(failed)} failed (why: above): again, alone", flush=True)
    if status := _pytest("-n0", "--last-failed", arguments[-1]):
        return status
    print("UNSTEADY: failed beside others, passed alone; a defect of the test, or of covey:")
    for name in failed:
        print(f"  {name}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
