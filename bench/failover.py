"""How long it takes to move on when a scheduler is killed with calls in flight."""

import logging
import os
import tempfile
import time
from pathlib import Path

import covey
from covey.testing.cluster import Call, Lab
from covey.testing.waiting import wait_until

#: Fewer slots than calls: agents must stop what the dead one had granted.
MACHINES, SLOTS = 2, 2


def _call(starts: str, gate: str, number: int) -> None:
    """Write down when it was started, and wait for the end of the measurement."""
    # The clock is that of the computer: processes can compare it.
    line = f"{number} {time.monotonic()}\n"
    with open(starts, "a", encoding="utf-8") as file:
        file.write(line)
    while not os.path.exists(gate):
        time.sleep(0.01)


class _Takeovers(logging.Handler):
    """When a scheduler had accepted all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.at: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO:
            self.at.append(time.monotonic())


def killed(calls: int) -> dict[str, float]:
    """Seconds from SIGKILL until the next scheduler has accepted all calls in flight, and until all
    slots are at work for it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="covey-bench-") as directory,
        Lab(Path(directory)) as lab,
    ):
        os.environ |= {name: lab.env[name] for name in ("COVEY_HOME", "XDG_RUNTIME_DIR")}
        with lab.cluster(machines=MACHINES, slots=SLOTS):
            return _measure(lab, calls)


def _measure(lab: Lab, calls: int) -> dict[str, float]:
    takeovers = _Takeovers()
    log = logging.getLogger("covey.client.handing_over")
    log.addHandler(takeovers)
    log.setLevel(logging.INFO)
    starts, gate = lab.directory / "starts", lab.directory / "gate"
    slots = min(calls, MACHINES * SLOTS)
    starts.touch()
    first, _ = _scheduler(lab, "s1"), _scheduler(lab, "s2")
    with covey.Executor(schedulers=["s1", "s2"]) as executor:
        try:
            for number in range(calls):
                executor.submit(_call, str(starts), str(gate), number)
            wait_until(lambda: len(_lines(starts)) == slots, describe=lambda: _lines(starts))
            killed_at = time.monotonic()
            first.process.kill()
            wait_until(lambda: len(_lines(starts)) == 2 * slots, describe=lambda: _lines(starts))
        finally:
            gate.touch()
    accepted = min(at for at in takeovers.at if at > killed_at) - killed_at
    started = max(float(line.split()[1]) for line in _lines(starts)) - killed_at
    return {"value": accepted, "started_s": started}


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def _scheduler(lab: Lab, name: str) -> Call:
    call = lab.start("scheduler", "--name", name)
    wait_until(lambda: b"ready" in call.out, describe=lambda: call.err)
    return call
