"""A line chart as SVG, without any library: for `covey sim --svg` and `covey sparrow --plot`."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

#: Size of the whole picture, and of the margins around the plot (left, top, right, bottom).
WIDTH, HEIGHT = 800, 460
MARGINS = (70, 44, 230, 52)
#: Colours that people with any colour vision can tell apart (Okabe and Ito).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
#: About so many lines of the grid along each axis.
GRID_LINES = 6

_FONT = "font-family='sans-serif' font-size='12'"


@dataclass(frozen=True, slots=True)
class Series:
    """One line: its name in the legend and its points, by ascending x. colour: a place in COLOURS,
    for lines that belong together; None = the next.
    """

    name: str
    points: Sequence[tuple[float, float]]
    is_dashed: bool = False
    colour: int | None = None


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn. With `is_log`, the y axis is logarithmic and only takes what is above 0."""

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    is_log: bool = False

    def to_svg(self) -> str:
        """The whole file."""
        return stacked([self])

    def lines(self) -> list[str]:
        """What is drawn, in a plane of WIDTH by HEIGHT."""
        points = [point for one in self.series for point in one.points]
        if self.is_log:
            points = [point for point in points if point[1] > 0]
        x_axis = _Axis.around([x for x, _ in points])
        y_axis = _Axis.around([y for _, y in points], is_log=self.is_log)
        lines = [
            _text(WIDTH / 2, 24, self.title, "middle", "font-weight='bold'"),
            *self._axes(x_axis, y_axis),
        ]
        for at, one in enumerate(self.series):
            lines += _line(one, at, x_axis, y_axis)
        return lines

    def _axes(self, x_axis: "_Axis", y_axis: "_Axis") -> list[str]:
        left, top, right, bottom = _plot()
        lines: list[str] = []
        for value in x_axis.ticks():
            x = left + x_axis.part(value) * (right - left)
            lines.append(_rule(x, top, x, bottom))
            lines.append(_text(x, bottom + 18, _number(value), "middle"))
        for value in y_axis.ticks():
            y = bottom - y_axis.part(value) * (bottom - top)
            lines.append(_rule(left, y, right, y))
            lines.append(_text(left - 8, y + 4, _number(value), "end"))
        lines.append(
            f"<rect x='{left}' y='{top}' width='{right - left}' height='{bottom - top}' "
            "fill='none' stroke='#444'/>"
        )
        middle = (top + bottom) / 2
        turned = f"transform='rotate(-90 18 {middle:g})'"
        lines.append(_text((left + right) / 2, HEIGHT - 12, self.x_label, "middle"))
        lines.append(_text(18, middle, self.y_label, "middle", turned))
        return lines


def stacked(charts: Sequence[Chart]) -> str:
    """One file with the charts below each other."""
    height = HEIGHT * len(charts)
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' "
        f"viewBox='0 0 {WIDTH} {height}'>",
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
    ]
    for at, chart in enumerate(charts):
        lines += [f"<g transform='translate(0 {at * HEIGHT})'>", *chart.lines(), "</g>"]
    return "\n".join([*lines, "</svg>", ""])


@dataclass(frozen=True, slots=True)
class _Axis:
    low: float
    high: float
    step: float
    is_log: bool = False

    @staticmethod
    def around(values: Sequence[float], *, is_log: bool = False) -> "_Axis":
        """An axis with round ends that holds all values."""
        if not values:
            values = [1.0, 10.0] if is_log else [0.0, 1.0]
        low, high = min(values), max(values)
        if is_log:
            return _Axis(10.0 ** floor(log10(low)), 10.0 ** ceil(log10(high * 1.0001)), 10.0, True)
        # From 0, unless all values lie in a small part far from it.
        low = min(0.0, low) if low < 0.5 * high else low
        step = _step((high - low) or 1.0)
        first = floor(low / step + 1e-9) * step
        return _Axis(first, max(first + step, ceil(high / step - 1e-9) * step), step)

    def part(self, value: float) -> float:
        """Where on the axis a value is: 0 … 1."""
        if self.is_log:
            width = log10(self.high / self.low)
            return log10(value / self.low) / width
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Values that get a line of the grid."""
        if self.is_log:
            powers = range(round(log10(self.low)), round(log10(self.high)) + 1)
            return [10.0**power for power in powers]
        return [
            self.low + at * self.step for at in range(round((self.high - self.low) / self.step) + 1)
        ]


def _step(width: float) -> float:
    power = 10.0 ** floor(log10(width / GRID_LINES))
    return next(
        power * factor for factor in (1, 2, 5, 10) if width / (power * factor) <= GRID_LINES
    )


def _plot() -> tuple[int, int, int, int]:
    left, top, right, bottom = MARGINS
    return left, top, WIDTH - right, HEIGHT - bottom


def _line(one: Series, at: int, x_axis: _Axis, y_axis: _Axis) -> list[str]:
    left, top, right, bottom = _plot()
    colour = COLOURS[(at if one.colour is None else one.colour) % len(COLOURS)]
    style = f"stroke='{colour}' stroke-width='2'" + (
        " stroke-dasharray='5 4'" if one.is_dashed else ""
    )
    parts = [(x_axis.part(x), y_axis.part(y)) for x, y in one.points if not y_axis.is_log or y > 0]
    width, height = right - left, bottom - top
    path = " ".join(f"{left + x * width:.1f},{bottom - y * height:.1f}" for x, y in parts)
    legend_y = top + 12 + 20 * at
    return [
        f"<polyline points='{path}' fill='none' {style}/>",
        f"<line x1='{right + 12}' y1='{legend_y}' x2='{right + 36}' y2='{legend_y}' {style}/>",
        _text(right + 42, legend_y + 4, one.name, "start"),
    ]


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='#ddd'/>"


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return (
        f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {_FONT} {more}>"
        f"{escape(words)}</text>"
    )


def _number(value: float) -> str:
    return f"{value:.10g}" if abs(value) >= 1e-12 else "0"
