"""One measurement in a process of its own: `python -m bench.measure ROW PEER N` prints JSON.

A peer that is not installed says so in `absent`; nothing it does can spoil another's figures.
"""

import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import Callable

from bench import commands, cost, failover, machines, pools, sim, sparrow

Measured = dict[str, float]


def _rate(peer: str, n: int, *, mapped: bool) -> Measured:
    with pools.POOLS[peer]() as pool:
        work = pool.map_many if mapped else pool.submit_many
        if work is None:
            raise commands.Absent(f"{peer} has no map")
        begun = time.perf_counter()
        work(n)
        return {"value": n / (time.perf_counter() - begun)}


def _latency(peer: str, n: int) -> Measured:
    if peer == "bare NATS":
        return {"value": cost.nats_round_trip()}
    with pools.POOLS[peer]() as pool:
        took: list[float] = []
        for _ in range(n):
            begun = time.perf_counter()
            pool.one()
            took.append(time.perf_counter() - begun)
        return {"value": statistics.median(took)}


def _start(peer: str, _n: int) -> Measured:
    measure: dict[str, Callable[[], float]] = {
        "covey": cost.first_result,
        "covey --help": cost.help_page,
        "python -c pass": cost.bare_python,
    }
    return {"value": measure[peer]()}


def _million(_peer: str, n: int) -> Measured:
    measured = cost.map_of(n)
    return {"value": measured["s_per_item"], "peak_bytes": measured["peak_bytes"]}


def _idle(_peer: str, _n: int) -> Measured:
    measured = cost.idle_agent()
    return {"value": measured["pss_bytes"], "cpu_share": measured["cpu_share"]}


def _machines(peer: str, n: int) -> Measured:
    measure: dict[str, Callable[[int], float]] = {
        "covey": machines.cold,
        "covey, first ever": machines.first_ever,
        "covey, agents live": machines.live,
        "ssh true": machines.bare_ssh,
    }
    return {"value": measure[peer](n)}


def _figure_3(_peer: str, _n: int) -> Measured:
    begun = time.perf_counter()
    sim.figure_3()
    return {"value": time.perf_counter() - begun}


ROWS: dict[str, Callable[[str, int], Measured]] = {
    "submit": lambda peer, n: _rate(peer, n, mapped=False),
    "map": lambda peer, n: _rate(peer, n, mapped=True),
    "latency": _latency,
    "start": _start,
    "commands": lambda peer, n: {"value": n / commands.COMMANDS[peer](n)},
    "million": _million,
    "idle": _idle,
    "one machine": _machines,
    "ten machines": _machines,
    "status": lambda _, n: {"value": machines.status_of(n)},
    "sparrow": lambda _, n: sparrow.late_binding(n),
    "isolation": lambda _, n: sparrow.isolation(n),
    "fair shares": lambda _, n: sparrow.fairness(n),
    "figure 3": _figure_3,
    "simulated policies": lambda peer, _: {"value": sim.ratio(peer)},
    "simulated cancellation": lambda _, __: {"value": sim.cancellation()},
    "failover": lambda _, n: failover.killed(n),
    "idle over ssh": lambda _, __: machines.idle_over_ssh(),
}


def main(row: str, peer: str, n: int) -> None:
    """Measure, and print what came out as the last line of standard output."""
    # Peers print what they like; only our line may reach the reader.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        answer: dict[str, object] = {**ROWS[row](peer, n)}
    except (ImportError, commands.Absent) as error:
        answer = {"absent": str(error)}
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(answer), file=out, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
