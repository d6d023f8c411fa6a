"""What a command line of `covey sim` asks for: which runs, and whether they make sense."""

import difflib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from covey.cli.duration import parse_duration
from covey.cli.output import counted
from covey.errors import UsageError
from covey.model import policy as p
from covey.model.knobs import policy_named
from covey.sim.faults import Faults
from covey.sim.figures import FIGURES, NEED_CORES, PAPER_RATIOS, SIZES, studies
from covey.sim.links import Latency
from covey.sim.study import Engine, Study
from covey.sim.workload import Durations, Workload

#: Up to so many machines, messages per run, and messages of all runs, `--engine auto` takes the
#: cores: half a minute for a run, a minute of one core for all.
CORES_MACHINES_MAX = 100
CORES_MESSAGES_MAX = 300_000
CORES_MESSAGES_OF_ALL_MAX = 1_000_000
#: Messages that a task takes in the cores, acknowledgements included; and those of each agent with
#: each scheduler in a virtual second, so that they know of each other.
TASK_MESSAGES = 15
HEARTBEATS = 2
#: Longest queues and heaps that fit a computer: more tasks per run are refused.
TASKS_MAX = 20_000_000
MACHINES_MAX = 1_000_000
#: Part of the jobs that are long in `heterogeneity`.
LONG_SHARE = 0.5
#: They take all machines to be alike, and alive.
_ALIKE = frozenset({p.OMNISCIENT, p.WORK_STEALING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options as they were typed; None = the figure's own."""

    figure: str
    machines: int | None
    slots: int | None
    jobs: int | None
    tasks: int | None
    loads: str | None
    policies: Sequence[str]
    ratios: str | None
    cancellation: bool
    seed: int
    durations: str | None
    mean: str
    trace: str | None
    long_share: float | None
    rtt: str
    latency: str
    late_share: float
    late: str
    speeds: str
    deaths: int
    down: str
    schedulers: int
    warm_up: float
    engine: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs of one command line."""

    figure: str
    studies: list[Study]


def planned(asked: Asked) -> Plan:
    """Turn options into runs.

    Raises:
        UsageError: something is unknown, absurd, or cannot be simulated.
    """
    figure = _figure(asked.figure)
    size = SIZES[figure]
    loads = _numbers("--loads", asked.loads, size.loads)
    ratios = _ratios(asked.ratios) or (PAPER_RATIOS if figure == "fig9" else (2.0,))
    common = _common(asked, figure)
    policies = _policies(asked.policies) or _able(size.policies, common)
    _check(common, loads, ratios, policies)
    runs = studies(figure, common, policies, loads, ratios, is_slots_given=asked.slots is not None)
    engine = _engine_of(runs) if asked.engine == "auto" else cast(Engine, asked.engine)
    return Plan(figure, [_with_engine(study, engine, asked.engine, figure) for study in runs])


def _figure(word: str) -> str:
    name = word.lower()
    if name not in SIZES:
        near = difflib.get_close_matches(name, FIGURES, 1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"no figure {word!r}: {meant}There are {', '.join(FIGURES)}")
    return name


def _common(asked: Asked, figure: str) -> Study:
    size = SIZES[figure]
    long_share = asked.long_share
    if long_share is None:
        long_share = LONG_SHARE if figure == "heterogeneity" else 0.0
    workload = Workload(
        jobs=_whole("--jobs", asked.jobs, size.jobs),
        tasks=_whole("--tasks", asked.tasks, size.tasks),
        mean_s=_positive("--mean", _time("--mean", asked.mean)),
        durations=cast(Durations, asked.durations or size.durations),
        long_share=_part("--long-share", long_share),
        trace=_trace(asked.trace),
    )
    latency = Latency(
        mean_s=_time("--rtt", asked.rtt) / 2,
        kind=asked.latency,  # pyright: ignore[reportArgumentType] - click checked it
        late_share=_part("--late-share", asked.late_share),
        late_s=_time("--late", asked.late),
    )
    deaths = asked.deaths
    if deaths < 0:
        raise UsageError(f"--deaths {deaths}: a number of machines is 0 or more")
    return Study(
        machines=_whole("--machines", asked.machines, size.machines, MACHINES_MAX),
        slots=_whole("--slots", asked.slots, size.slots, MACHINES_MAX),
        workload=workload,
        latency=latency,
        has_cancellation=asked.cancellation,
        schedulers=_whole("--schedulers", asked.schedulers, 10, 1000),
        seed=asked.seed,
        speeds=tuple(_positive("--speeds", x) for x in _numbers("--speeds", asked.speeds, ())),
        faults=Faults(deaths, _time("--down", asked.down)),
        warm_up=_part("--warm-up", asked.warm_up),
    )


# -- numbers


def _whole(option: str, given: int | None, default: int, most: int = TASKS_MAX) -> int:
    if given is None:
        return default
    if not 1 <= given <= most:
        raise UsageError(f"{option} {given}: it must be between 1 and {most:,}")
    return given


def _time(option: str, text: str) -> float:
    try:
        return parse_duration(text)
    except UsageError as error:
        raise UsageError(f"{option}: {error.message}") from None


def _positive(option: str, number: float) -> float:
    if not 0 < number < float("inf"):
        raise UsageError(f"{option} {number:g}: it must be more than 0")
    return number


def _part(option: str, number: float) -> float:
    if not 0 <= number < 1:
        raise UsageError(f"{option} {number:g}: it is a part, from 0 to below 1")
    return number


def _numbers(option: str, text: str | None, default: Sequence[float]) -> tuple[float, ...]:
    if text is None:
        return tuple(default)
    try:
        return tuple(float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"{option} {text!r}: write numbers with commas between them") from None


def _ratios(text: str | None) -> tuple[float, ...]:
    if text is None:
        return ()
    return tuple(_ratio(word) for word in text.split(","))


def _ratio(word: str) -> float:
    if word.strip().lower() == p.AUTO:
        return p.AUTO_RATIO
    (ratio,) = _numbers("--probe-ratio", word, ())
    if not 1 <= ratio < float("inf"):
        raise UsageError(f"--probe-ratio {ratio:g}: it must be 1 or more, or auto")
    return ratio


def _policies(names: Sequence[str]) -> tuple[str, ...]:
    words = [word for name in names for word in name.split(",")]
    return tuple(dict.fromkeys(policy_named(word, p.SIMULATED_POLICIES) for word in words))


def _trace(path: str | None) -> tuple[float, ...]:
    if path is None:
        return ()
    try:
        words = Path(path).read_text(encoding="utf-8").split()
        durations = tuple(float(word) for word in words)
    except OSError as error:
        raise UsageError(f"--trace {path}: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"--trace {path}: it holds more than numbers of seconds") from None
    if not durations or not all(0 < duration < float("inf") for duration in durations):
        raise UsageError(f"--trace {path}: it must hold durations above 0 s, one a line")
    return durations


# -- what fits together


def _able(usual: Sequence[str], common: Study) -> tuple[str, ...]:
    """Who is compared where nobody is named: not the ideal that knows neither faults nor speeds."""
    is_odd = common.faults.deaths > 0 or len(set(common.speeds)) > 1
    return tuple(name for name in usual if not (is_odd and name in _ALIKE))


def _check(
    common: Study, loads: Sequence[float], ratios: Sequence[float], policies: Sequence[str]
) -> None:
    for load in loads:
        if not 0 < load <= 1:
            why = "more is asked for than there are slots" if load > 1 else "nothing arrives"
            raise UsageError(f"--loads {load:g}: {why} — write parts of all slots, e.g. 0.5,0.8")
    for ratio in ratios:
        if ratio > max(2, common.machines):
            there = counted(common.machines, "machine")
            raise UsageError(f"--probe-ratio {ratio:g}: the cluster has {there} only")
    tasks = common.workload.jobs * common.workload.tasks
    if tasks > TASKS_MAX and common.workload.jobs != SIZES["fairness"].jobs:
        raise UsageError(f"{tasks:,} tasks per point are more than {TASKS_MAX:,}: fewer --jobs")
    alike = _ALIKE & set(policies)
    if alike and len(set(common.speeds)) > 1:
        raise UsageError(f"{min(alike)} knows machines of one speed only: leave --speeds out")
    if alike and common.faults.deaths:
        raise UsageError(f"{min(alike)} knows no faults: name other policies with --policy")


def _engine_of(studies: Sequence[Study]) -> Engine:
    """One for all that are compared, by how long they take."""
    messages = [_messages(study) for study in studies]
    is_small = max(study.machines for study in studies) <= CORES_MACHINES_MAX
    is_short = max(messages) <= CORES_MESSAGES_MAX and sum(messages) <= CORES_MESSAGES_OF_ALL_MAX
    return "cores" if is_small and is_short else "policies"


def _with_engine(study: Study, engine: Engine, asked: str, figure: str) -> Study:
    why = ""
    if figure in NEED_CORES:
        why = figure
    elif study.faults.deaths:
        why = "--deaths"
    elif study.policy == p.LEAST_LOADED:
        why = study.policy
    if why and asked == "policies":
        raise UsageError(f"{why} needs the engine `cores`: leave --engine out")
    return replace(study, engine="cores" if why else engine)


def _messages(study: Study) -> float:
    """About how many the cores say."""
    tasks = study.workload.jobs * study.workload.tasks
    seconds = tasks * study.workload.task_mean_s() / (study.machines * study.slots * study.load)
    return TASK_MESSAGES * tasks + HEARTBEATS * study.machines * study.schedulers * seconds


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
