"""The figures of `covey sparrow` on a terminal."""

from collections.abc import Sequence

from covey.cli.duration import duration
from covey.cli.output import Column, print_table, say
from covey.client.sparrow.stats import Figures, Spread, histogram

#: Columns of the longest bar.
BAR_MAX = 40


def details(one: Figures) -> None:
    """One policy: its percentiles and a histogram."""
    say()
    rows = [
        ["response", *_row(one.response)],
        ["ideal", *_row(one.ideal)],
        ["slowdown", *(_times(value) for value in one.slowdown)],
        ["queueing delay", *_row(one.queueing)],
        ["scheduling delay", *_row(one.scheduling)],
    ]
    print_table([Column(one.policy), *(Column(title, right=True) for title in _TITLES)], rows)
    say()
    say(f"messages per task  {_number(one.messages_per_task)}")
    say(f"all jobs in        {duration(one.elapsed_s)}")
    if one.failed:
        say(f"failed tasks       {one.failed}")
    _users(one)
    say()
    say("jobs by response time")
    for line in bars(one.responses_s):
        say(line)


def comparison(found: Sequence[Figures]) -> None:
    """All policies side by side."""
    say()
    columns = [Column("POLICY")] + [
        Column(title, right=True)
        for title in (*_TITLES, "IDEAL P50", "SLOWDOWN", "QUEUEING", "SCHEDULING", "MESSAGES")
    ]
    print_table(columns, [_compared(one) for one in found])
    say()
    say("response time of jobs; ideal, slowdown and delays at the median; messages per task")
    if any(one.users for one in found):
        for one in found:
            _users(one, title=one.policy)


def bars(values: Sequence[float]) -> list[str]:
    """A histogram, a line per step."""
    found = histogram(values)
    most = max((count for _, _, count in found), default=0)
    lines: list[str] = []
    for low, high, count in found:
        bar = "█" * round(BAR_MAX * count / most) if count else ""
        between = f"{duration(low):>8} – {duration(high):>8}"
        lines.append(f"{between}  {count:>6}  {bar or ('▏' if count else '')}".rstrip())
    return lines


_TITLES = ("P50", "P95", "P99")


def _compared(one: Figures) -> list[str]:
    return [
        one.policy,
        *_row(one.response),
        duration(one.ideal.p50_s),
        _times(one.slowdown[0]),
        duration(one.queueing.p50_s),
        duration(one.scheduling.p50_s),
        _number(one.messages_per_task),
    ]


def _users(one: Figures, title: str = "USER") -> None:
    if not one.users:
        return
    say()
    rows = [[name, *_row(spread)] for name, spread in one.users.items()]
    print_table([Column(title), *(Column(name, right=True) for name in _TITLES)], rows)


def _row(spread: Spread) -> list[str]:
    return [duration(value) for value in (spread.p50_s, spread.p95_s, spread.p99_s)]


def _times(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} ×"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
