"""How far a `covey map` is, on standard error: a bar on a terminal, else a line every few seconds.

Pure text and a stream: the caller brings the clock, so it runs without waiting in tests.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

from covey.cli.duration import duration
from covey.cli.map.plan import MapPlan

#: Seconds between two drawings of the bar, and between two lines where there is no terminal.
BAR_EVERY_S = 0.1
LINE_EVERY_S = 5.0
#: The rate is that of about this many last seconds.
RATE_WINDOW_S = 10.0
_BAR_WIDTH = 24
_WIDTH_LEAST = 40


@dataclass(frozen=True, slots=True)
class Counts:
    """Tasks of a job so far. `total` is None while items are still being read."""

    done: int
    failed: int
    running: int = 0
    total: int | None = None


class Progress:
    """Draws the counts; call `update` as often as you like, and `hide` before printing anything."""

    def __init__(self, plan: MapPlan, stream: TextIO, where: str, *, now: float) -> None:
        """Says where the job runs.

        Args:
            plan: --quiet draws nothing; --eta adds what one task takes.
            stream: standard error.
            where: `on this machine, 2 slots`.
            now: monotonic seconds.
        """
        self._stream = stream
        self._is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        self._is_quiet = plan.quiet
        self._shows_mean = plan.eta
        self._began = self._drawn_at = now
        self._marks: list[tuple[float, int]] = [(now, 0)]
        self._is_drawn = False
        if not self._is_quiet:
            self._line(f"covey: {where}")

    def update(self, counts: Counts, now: float) -> None:
        """Shows the counts, if it is time again."""
        every_s = BAR_EVERY_S if self._is_terminal else LINE_EVERY_S
        if self._is_quiet or now - self._drawn_at < every_s:
            return
        self._drawn_at = now
        self._mark(counts.done, now)
        text = self._text(counts, now)
        if self._is_terminal:
            width = max(shutil.get_terminal_size().columns - 1, _WIDTH_LEAST)
            self._write(f"\r\033[K{text[:width]}")
            self._is_drawn = True
        else:
            self._line(f"covey: {text}")

    def hide(self) -> None:
        """Takes the bar away, so that other output stands alone. `update` draws it again."""
        if self._is_drawn:
            self._is_drawn = False
            self._write("\r\033[K")

    def finish(self, line: str) -> None:
        """Ends with a line of summary."""
        self.hide()
        if not self._is_quiet:
            self._line(f"covey: {line}")

    def note(self, line: str) -> None:
        """A line that matters, --quiet or not (why the job stops early)."""
        self.hide()
        self._line(f"covey: {line}")

    def _mark(self, done: int, now: float) -> None:
        self._marks.append((now, done))
        while len(self._marks) > 2 and self._marks[1][0] < now - RATE_WINDOW_S:
            del self._marks[0]

    def _text(self, counts: Counts, now: float) -> str:
        then, before = self._marks[0]
        rate = (counts.done - before) / (now - then) if now > then else 0.0
        words: list[str] = []
        if counts.total:
            share = min(counts.done / counts.total, 1.0)
            if self._is_terminal:
                full = int(share * _BAR_WIDTH)
                words.append(f"[{'#' * full}{'-' * (_BAR_WIDTH - full)}]")
            words.append(f"{counts.done:,}/{counts.total:,} {share:.0%}")
        else:
            words.append(f"{counts.done:,} done")
        if counts.failed:
            words.append(f"{counts.failed:,} failed")
        words.append(f"{counts.running:,} running")
        words.append(f"{_rate(rate)}/s")
        if counts.total and rate > 0 and counts.done < counts.total:
            words.append(f"ETA {duration((counts.total - counts.done) / rate)}")
        if self._shows_mean and counts.done:
            words.append(f"{duration((now - self._began) / counts.done)} each")
        return "  ".join(words)

    def _line(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        # Progress is for people: a closed standard error must not end the job.
        quietly(lambda: (self._stream.write(text), self._stream.flush()))


def quietly(write: Callable[[], object]) -> None:
    """Runs `write`, and forgets that nobody reads the stream any more."""
    try:
        write()
    except (OSError, ValueError):
        return


def _rate(per_s: float) -> str:
    return f"{per_s:,.0f}" if per_s >= 100 else f"{per_s:.2g}" if per_s < 10 else f"{per_s:.1f}"


def summary(counts: Counts, elapsed_s: float, *, job: int | None, joblog: str | None) -> str:
    """The last line: what was done, how fast, and where to look."""
    words = [f"{counts.done:,} done" if counts.done != 1 else "1 done"]
    if counts.failed:
        words.append(f"{counts.failed:,} failed")
    if counts.total is not None and counts.total > counts.done:
        words.append(f"{counts.total - counts.done:,} not run")
    rate = counts.done / elapsed_s if elapsed_s > 0 else 0.0
    text = f"{', '.join(words)} in {duration(elapsed_s)} ({_rate(rate)}/s)"
    if joblog is not None:
        text += f" · joblog: {joblog}"
    elif job is not None:
        text += f" · see: covey joblog {job}"
    return text
