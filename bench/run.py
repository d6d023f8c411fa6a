"""Measures covey beside other systems and writes the table: ratios of medians, side by side.

    python bench/run.py                          every row
    python bench/run.py --row submit --rounds 1  one row, quickly
    python bench/run.py --write docs/benchmarks.md

Each measurement runs in a process of its own; the rounds of all peers of a row are interleaved, so
that a machine that gets slower or faster meanwhile does so for everybody. A peer that is absent is
said to be.
"""

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Longest that one measurement may take; a peer that needs more is said to have failed.
MEASUREMENT_LIMIT_S = 180.0
#: The same for the row of a million items.
MILLION_LIMIT_S = 1800.0
#: The same for the row that starts 200 agents.
MANY_AGENTS_LIMIT_S = 900.0
#: The same for figures of the simulator at full size.
SIMULATOR_LIMIT_S = 3600.0
#: Rounds per row unless told otherwise; the table shows medians.
ROUNDS = 3

Measured = dict[str, float]


@dataclass(frozen=True)
class Row:
    """A line of work: who is measured with how many tasks, and what was promised."""

    title: str
    unit: str
    #: peer -> number of tasks: enough for about a second each. The first is covey.
    peers: dict[str, int]
    #: peer -> least factor by which covey's figure must be better.
    budgets: dict[str, float] = field(default_factory=dict)
    #: Whether a larger figure is better.
    is_rate: bool = True
    #: Rounds of a row whose figures vary.
    rounds_min: int = 1
    #: Rounds of a row that takes minutes.
    rounds_max: int = 9
    limit_s: float = MEASUREMENT_LIMIT_S


ROWS = {
    "submit": Row(
        "no-op tasks through Executor.submit, 2 slots",
        "tasks/s",
        {
            "covey": 40_000,
            "ProcessPoolExecutor": 8_000,
            "loky": 5_000,
            "Ray": 2_000,
            "Dask": 1_000,
            "dispy": 300,
        },
        {"ProcessPoolExecutor": 5, "Ray": 20, "Dask": 70},
    ),
    "map": Row(
        "no-op tasks through Executor.map (chunksize left alone: 1), 2 slots",
        "tasks/s",
        {
            "covey": 200_000,
            "ProcessPoolExecutor": 8_000,
            "loky": 5_000,
            "Ray": 2_000,
            "Dask": 1_000,
        },
        {"ProcessPoolExecutor": 20},
    ),
    "latency": Row(
        "one task at a time, submit → result, median",
        "s",
        {
            "covey": 1_000,
            "bare NATS": 1_000,
            "ProcessPoolExecutor": 1_000,
            "loky": 500,
            "Ray": 300,
            "Dask": 100,
            "dispy": 30,
        },
        {"bare NATS": 1 / 2.5, "Ray": 3},
        is_rate=False,
    ),
    "start": Row(
        "import, start on this machine → first result",
        "s",
        {"covey": 1, "covey --help": 1, "python -c pass": 1},
        is_rate=False,
        rounds_max=15,
    ),
    "commands": Row(
        "`true` over a list of items, 2 slots (covey: every outcome durable)",
        "items/s",
        {"covey": 20_000, "xargs -P": 20_000, "GNU parallel": 2_000, "HyperQueue": 3_000},
        {"xargs -P": 1.2, "GNU parallel": 5, "HyperQueue": 3},
    ),
    "million": Row(
        "`true` over 50,000 and over a million items: seconds per item",
        "s",
        {"covey": 1_000_000, "covey, 50,000": 50_000},
        {"covey, 50,000": 1 / 1.2},
        is_rate=False,
        rounds_max=1,
        limit_s=MILLION_LIMIT_S,
    ),
    "idle": Row(
        "an idle agent with its zygote: memory (PSS)",
        "bytes",
        {"covey": 1},
        is_rate=False,
        rounds_max=1,
    ),
    "one machine": Row(
        "one machine over ssh (loopback), nothing on it: `covey up` → first result",
        "s",
        {"covey": 1, "covey, first ever": 1, "covey, agents live": 1, "ssh true": 1},
        {"ssh true": 1 / 3},
        is_rate=False,
    ),
    "ten machines": Row(
        "ten machines over ssh (loopback, all on these cores): `covey up` → first result",
        "s",
        {"covey": 10, "covey, agents live": 10, "ssh true": 10},
        {"ssh true": 1 / 3},
        is_rate=False,
    ),
    "status": Row(
        "`covey status` with 200 agents on this machine",
        "s",
        {"covey": 200},
        is_rate=False,
        rounds_max=1,
        limit_s=MANY_AGENTS_LIMIT_S,
    ),
    "sparrow": Row(
        "batch sampling with late binding, 20 agents × 2 slots here, tasks of 100 ms, 80 % load:"
        " median response ÷ ideal",
        "×",
        {"covey": 2_000},
        is_rate=False,
        rounds_min=5,
    ),
    "isolation": Row(
        "high priority (load 0.25) beside low priority (load 1.75): median response ÷ alone",
        "×",
        {"covey": 60},
        is_rate=False,
        rounds_min=5,
    ),
    "fair shares": Row(
        "the share of a user who wants 0, 25, 50, 25, 0 % beside one who wants all: largest miss",
        "×",
        {"covey": 1},
        is_rate=False,
        rounds_min=5,
    ),
    "figure 3": Row(
        "`covey sim fig3`: 10,000 machines × 4, five policies, seven loads, 10,000 jobs each",
        "s",
        {"covey": 1},
        is_rate=False,
        rounds_max=1,
        limit_s=SIMULATOR_LIMIT_S,
    ),
    "simulated policies": Row(
        "simulated medians at 80 % load, 10,000 machines × 4: late binding ÷ omniscient; others",
        "×",
        {
            "covey": 1,
            "random ÷ per-task (paper: over 3)": 1,
            "batch ÷ per-task (paper: 0.73)": 1,
            "late ÷ batch (paper: 0.55)": 1,
        },
        is_rate=False,
        rounds_max=1,
        limit_s=SIMULATOR_LIMIT_S,
    ),
    "simulated cancellation": Row(
        "simulated median at 95 % load, with cancellation ÷ without (paper: 0.94)",
        "×",
        {"covey": 1},
        is_rate=False,
        rounds_max=1,
        limit_s=SIMULATOR_LIMIT_S,
    ),
    "failover": Row(
        "a scheduler is killed: until the next one has accepted the 100 calls in flight",
        "s",
        {"covey": 100},
        is_rate=False,
        rounds_min=5,
    ),
    "idle over ssh": Row(
        "an idle agent over ssh with its zygote: memory (PSS)",
        "bytes",
        {"covey": 1},
        is_rate=False,
        rounds_max=1,
    ),
}
#: (row, field) -> (limit, what it is called): promises that are no ratio.
ABSOLUTE = {
    ("start", "covey"): (0.35, "value", "s"),
    ("start", "covey --help"): (0.12, "value", "s"),
    ("million", "covey"): (
        300e6,
        "peak_bytes",
        "bytes of memory in the process with scheduler and ledger",
    ),
    ("idle", "covey"): (40e6, "value", "bytes"),
    ("one machine", "covey, agents live"): (1.0, "value", "s"),
    ("ten machines", "covey, agents live"): (1.0, "value", "s"),
    ("status", "covey"): (2.0, "value", "s"),
    ("failover", "covey"): (0.12, "value", "s"),
    ("idle over ssh", "covey"): (40e6, "value", "bytes"),
    ("sparrow", "covey"): (1.12, "value", "×"),
    ("isolation", "covey"): (1.40, "value", "×"),
    ("figure 3", "covey"): (600.0, "value", "s"),
    ("simulated policies", "covey"): (1.05, "value", "×"),
    ("simulated cancellation", "covey"): (0.97, "value", "×"),
    ("fair shares", "covey"): (0.10, "value", "×"),
}


def measure(row: str, peer: str, n: int) -> Measured | str:
    """One measurement in a process of its own: its figures, or why there are none."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "bench.measure", row, peer, str(n)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=ROWS[row].limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not done after {ROWS[row].limit_s:.0f} s"
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1][:120]
    return str(answer["absent"]) if "absent" in answer else answer


def measure_row(name: str, rounds: int) -> dict[str, Measured | str]:
    """Medians of all peers of a row, rounds interleaved."""
    row = ROWS[name]
    seen: dict[str, list[Measured]] = {}
    failed: dict[str, str] = {}
    for turn in range(min(max(rounds, row.rounds_min), row.rounds_max)):
        for peer, n in row.peers.items():
            if peer in failed:
                continue
            got = measure(name, peer, n)
            if isinstance(got, str):
                failed[peer] = got
            else:
                seen.setdefault(peer, []).append(got)
            shown = got if isinstance(got, str) else _number(got["value"], row.unit)
            print(f"  {name} round {turn + 1}: {peer}: {shown}", file=sys.stderr, flush=True)
    return {
        peer: failed.get(peer)
        or {key: statistics.median(m[key] for m in seen[peer]) for key in seen[peer][0]}
        for peer in row.peers
    }


def _number(value: float, unit: str) -> str:
    if unit == "s":
        if value >= 1:
            return f"{value:.2f} s"
        return f"{value * 1e6:.0f} µs" if value < 1e-3 else f"{value * 1e3:.3g} ms"
    if unit == "bytes":
        return f"{value / 1e6:.1f} MB"
    if unit == "×":
        return f"{value:.2f} ×"
    return f"{value:,.0f} {unit}"


def _factor(value: float) -> str:
    return f"{value:,.0f} ×" if value >= 100 else f"{value:.3g} ×"


def table(name: str, results: dict[str, Measured | str]) -> list[str]:
    """One row as lines of Markdown."""
    row = ROWS[name]
    ours = results["covey"]
    lines = [
        f"### {row.title}",
        "",
        "| | measured | covey is | promised | |",
        "|---|---|---|---|---|",
    ]
    for peer, got in results.items():
        if isinstance(got, str):
            lines.append(f"| {peer} | absent: {got} | | | |")
            continue
        factor, promised, kept = "", "", ""
        if peer != "covey" and not isinstance(ours, str) and name != "start":
            better = ours["value"] / got["value"] if row.is_rate else got["value"] / ours["value"]
            factor = _factor(better)
            if peer in row.budgets:
                promised = f"≥ {_factor(row.budgets[peer])}"
                kept = "kept" if better >= row.budgets[peer] else "**not kept**"
        if (name, peer) in ABSOLUTE:
            limit, key, unit = ABSOLUTE[name, peer]
            promised = f"≤ {_number(limit, unit if unit in ('s', '×') else 'bytes')}"
            kept = "kept" if got[key] <= limit else "**not kept**"
        extra = f", peak {got['peak_bytes'] / 1e6:.0f} MB" if "peak_bytes" in got else ""
        if "cpu_share" in got:
            extra = f", {100 * got['cpu_share']:.2f} % of a core (promised < 0.2 %)"
        if "scheduling_s" in got:
            extra = f", scheduling delay {_number(got['scheduling_s'], 's')} (promised < 9 ms)"
        if "started_s" in got:
            extra = f", all slots at work again after {_number(got['started_s'], 's')}"
        figure = _number(got["value"], row.unit) + extra
        lines.append(f"| {peer} | {figure} | {factor} | {promised} | {kept} |")
    return [*lines, ""]


def _versions() -> str:
    names = ("covey", "nats-py", "uvloop", "loky", "distributed", "ray", "dispy", "hyperqueue")
    script = (
        "import importlib.metadata as m, sys\n"
        "for n in sys.argv[1:]:\n"
        "    try: print(n, m.version(n))\n"
        "    except m.PackageNotFoundError: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *names], capture_output=True, text=True, check=True
    )
    return ", ".join(done.stdout.splitlines())


def _cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def page(results: dict[str, dict[str, Measured | str]], rounds: int) -> str:
    """The whole table, with machine, date and command."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`: medians, side by side in one run; all peers of a row take turns.",
        "",
        f"- date: {datetime.date.today().isoformat()}",
        f"- machine: {len(os.sched_getaffinity(0))} CPUs, {_cpu_name()}, {platform.system()}",
        f"- Python {platform.python_version()}; {_versions()}",
        f"- command: `python bench/run.py --rounds {rounds}` ({', '.join(results)})",
        "",
    ]
    for name, measured in results.items():
        lines += table(name, measured)
    return "\n".join(lines).rstrip() + "\n"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--row", action="append", choices=list(ROWS), help="only this row (repeatable)"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"default {ROUNDS}")
    parser.add_argument("--write", type=Path, help="also write the page to this file")
    options = parser.parse_args()
    results = {name: measure_row(name, options.rounds) for name in options.row or ROWS}
    text = page(results, options.rounds)
    print(text)
    if options.write:
        options.write.write_text(text)


if __name__ == "__main__":
    main()
