"""What `covey sim` prints and writes: a table or JSON, CSV, SVG, and distributions."""

from collections.abc import Callable
from pathlib import Path

from covey.cli.chart import Chart, Series, stacked
from covey.cli.output import Column, note, print_json, print_table, say
from covey.cli.sim.plan import Plan
from covey.cli.sim.run import Done
from covey.cli.writing import check_directory, check_writable
from covey.errors import UsageError
from covey.sim.report import Point, cdf
from covey.sim.study import Result

#: Figures over the probe ratio, not over the load.
_OVER_RATIO = frozenset({"fig9"})


def points_of(done: Done) -> list[Point]:
    """All points, in the order of the runs."""
    return [point for result in done.results for point in result.points]


def print_report(plan: Plan, done: Done, *, as_json: bool) -> None:
    """The answer on stdout; how fast it was simulated on stderr."""
    points = points_of(done)
    if as_json:
        usage = [_usage_json(result) for result in done.results if result.usage]
        rows = [point.to_json() for point in points]
        print_json({"figure": plan.figure, "points": rows} | ({"usage": usage} if usage else {}))
    else:
        _print_table(points)
        for result in done.results:
            _print_usage(result)
    rate = done.events / max(done.elapsed_s, 1e-9)
    note(
        f"{done.events:,} events in {done.elapsed_s:.1f} s: {rate:,.0f} events/s "
        f"in {done.processes} process{'es' if done.processes > 1 else ''}"
    )


#: What a point of which no job has ended cannot say.
_OF_JOBS = frozenset({"p50 ms", "p95 ms", "p99 ms", "ideal ms", "slowdown", "no wait"})


def _print_table(points: list[Point]) -> None:
    shown: dict[str, Callable[[Point], str]] = {
        "policy": lambda p: p.policy,
        "load": lambda p: f"{p.load:g}",
        "": lambda p: " ".join(word for word in (p.label, p.part) if word),
        "d": lambda p: f"{p.probe_ratio:g}" if p.probe_ratio else "auto",
        "p50 ms": lambda p: _ms(p.p50_s),
        "p95 ms": lambda p: _ms(p.p95_s),
        "p99 ms": lambda p: _ms(p.p99_s),
        "ideal ms": lambda p: _ms(p.ideal_p50_s),
        "slowdown": lambda p: f"{p.slowdown_p50:.2f}",
        "no wait": lambda p: f"{100 * p.zero_wait:.1f} %",
        "theory": lambda p: _percent(p.zero_wait_expected),
        "msg/task": lambda p: f"{p.messages_per_task:.2f}",
        "unfinished": lambda p: str(p.unfinished),
        "engine": lambda p: p.engine,
    }
    if not any(point.label or point.part for point in points):
        del shown[""]
    if not any(point.unfinished for point in points):
        del shown["unfinished"]
    if len({point.probe_ratio for point in points}) == 1:
        del shown["d"]
    left = ("policy", "", "engine")
    cells = shown.items()
    columns = [Column(title, right=title not in left) for title in shown]
    rows = [
        [
            "-" if title in _OF_JOBS and not _has_ended(point) else cell(point)
            for title, cell in cells
        ]
        for point in points
    ]
    print_table(columns, rows)


def _has_ended(point: Point) -> bool:
    return point.jobs > point.unfinished


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.1f}"


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{100 * part:.1f} %"


# -- shares over time


def _shares(result: Result) -> tuple[list[str], list[tuple[float, list[int]]]]:
    users = sorted({user for _, busy in result.usage for user in busy})
    start = result.usage[0][0] if result.usage else 0.0
    rows = [(at - start, [busy.get(user, 0) for user in users]) for at, busy in result.usage]
    return users, rows


def _print_usage(result: Result) -> None:
    """A line per half a second: how many slots each user had, on average."""
    if not result.usage:
        return
    users, rows = _shares(result)
    say()
    slices: dict[int, list[list[int]]] = {}
    for at, busy in rows:
        slices.setdefault(int(at * 2 + 1e-6), []).append(busy)
    columns = [Column("from s", right=True), *(Column(user, right=True) for user in users)]
    lines = [
        [f"{half / 2:.1f}", *(f"{sum(part) / len(part):.0f}" for part in zip(*busy, strict=True))]
        for half, busy in slices.items()
    ]
    print_table(columns, lines)


def _usage_json(result: Result) -> dict[str, object]:
    users, rows = _shares(result)
    return {"users": users, "slots": [[round(at, 9), *busy] for at, busy in rows]}


# -- files


def check_files(*, csv_file: str, svg_file: str, cdf_directory: str) -> None:
    """Whether what is asked for can be written, before minutes of work.

    Raises:
        UsageError: it cannot.
    """
    check_writable("--csv", Path(csv_file) if csv_file else None)
    check_writable("--svg", Path(svg_file) if svg_file else None)
    check_directory("--cdf", Path(cdf_directory) if cdf_directory else None)


def write_files(
    plan: Plan, done: Done, *, csv_file: str, svg_file: str, cdf_directory: str
) -> None:
    """Write what was asked for.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        if csv_file:
            Path(csv_file).write_text(_csv(points_of(done)), encoding="utf-8")
        if svg_file:
            Path(svg_file).write_text(stacked(charts_of(plan, done)), encoding="utf-8")
        if cdf_directory:
            _write_cdfs(Path(cdf_directory), done)
    except OSError as error:
        raise UsageError(f"{error.filename}: {error.strerror or error}") from None


def _csv(points: list[Point]) -> str:
    rows = [point.to_json() for point in points]
    lines = [",".join(rows[0])] if rows else []
    for row in rows:
        lines.append(",".join("" if value is None else str(value) for value in row.values()))
    return "\n".join([*lines, ""])


def _write_cdfs(directory: Path, done: Done) -> None:
    """A file per point as the Sparrow authors' simulations wrote them: fraction, tab, seconds."""
    directory.mkdir(parents=True, exist_ok=True)
    for result in done.results:
        for point in result.points:
            words = (_policy_name(point), point.part, f"load{point.load:g}")
            name = "_".join(word.replace(" ", "-") for word in words if word)
            rows = cdf(result.responses[point.part])
            text = "".join(f"{fraction:g}\t{value:.9f}\n" for fraction, value in rows)
            (directory / f"{name}.cdf").write_text(text, encoding="utf-8")


def charts_of(plan: Plan, done: Done) -> list[Chart]:
    """The figure: response times over load (or probe ratio), or slots over time."""
    if any(result.usage for result in done.results):
        users, rows = _shares(next(result for result in done.results if result.usage))
        series = [
            Series(user, [(at, float(busy[place])) for at, busy in rows])
            for place, user in enumerate(users)
        ]
        return [Chart("slots of each user", "seconds", "slots", series)]
    points = points_of(done)
    if plan.figure in _OVER_RATIO:
        lines = _lines(points, lambda p: f"{_bare_name(p)} at {p.load:g}", lambda p: p.probe_ratio)
        return [Chart("response time over probe ratio", "probe ratio d", "median ms", lines)]
    if plan.figure == "isolation":
        lines = _lines(points, lambda p: p.part, lambda p: float(p.label.split()[-1]))
        return [Chart("two priorities", "load of the low one", "median ms", lines, is_log=True)]
    lines = _lines(points, _policy_name, lambda p: p.load)
    title = f"job response time, {points[0].machines:,} machines × {points[0].slots}"
    charts = [Chart(title, "load", "median ms", lines, is_log=True)]
    if theory := _theory(points):
        charts.append(Chart("jobs of which no task waited", "load", "percent", theory))
    return charts


def _bare_name(point: Point) -> str:
    return " ".join(word for word in (point.policy, point.label, point.part) if word)


def _policy_name(point: Point) -> str:
    name = _bare_name(point)
    return name if point.probe_ratio in (2.0, 0.0) else f"{name} d={point.probe_ratio:g}"


def _lines(
    points: list[Point], name: Callable[[Point], str], x: Callable[[Point], float]
) -> list[Series]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        if point.p50_s:
            lines.setdefault(name(point), []).append((x(point), 1000 * point.p50_s))
    return [Series(title, sorted(line)) for title, line in lines.items()]


def _theory(points: list[Point]) -> list[Series]:
    """As measured, and as the closed form says (dashed)."""
    known = [point for point in points if point.zero_wait_expected is not None]
    lines: list[Series] = []
    for at, policy in enumerate(dict.fromkeys(point.policy for point in known)):
        of_policy = sorted((p for p in known if p.policy == policy), key=lambda p: p.load)
        measured = [(p.load, 100 * p.zero_wait) for p in of_policy]
        expected = [(p.load, 100 * (p.zero_wait_expected or 0.0)) for p in of_policy]
        lines.append(Series(policy, measured, colour=at))
        lines.append(Series(f"{policy}, theory", expected, True, colour=at))
    return lines
