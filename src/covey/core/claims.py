"""How many tasks an agent asks for at once: about 50 ms of work per slot, never a hoard.

A microsecond task must not cost a round trip each, and a long task must not wait behind another
while a slot is free elsewhere. Both follow from measured task times (protocol rule 9).
"""

from collections import deque

#: Seconds of work per slot that are claimed at once, and that one chunk may hold (ADR 7).
WINDOW_S = 0.050
#: Longer tasks are claimed and started one by one.
SHORT_S = 0.010
#: Most tasks in one claim, one chunk, one `Finished`.
CLAIM_MAX = 256
#: A claim without answer for so long is void, and its slots serve the next line.
CLAIM_LIMIT_S = 0.5
#: What a task is taken to cost (fair share) before one of its shape has ended here.
FIRST_GUESS_S = 0.1
#: No task is taken to be shorter: clocks are not finer, and nothing may divide by zero.
TASK_MIN_S = 1e-6
#: The mean follows the last so many tasks.
MEAN_OVER = 64
#: Run times that the median is taken over, and how many are needed for one.
DURATIONS_MAX = 1000
DURATIONS_MIN = 3


class Pace:
    """How long the tasks of one shape take here."""

    __slots__ = ("_count", "_durations", "_last_s", "_mean_s", "_size")

    def __init__(self) -> None:
        self._count = 0
        self._mean_s = 0.0
        self._last_s = 0.0
        self._size = 1
        self._durations: deque[float] | None = None

    @property
    def task_s(self) -> float | None:
        """Seconds that the next task is expected to take; None = unknown."""
        return max(self._mean_s, self._last_s) if self._count else None

    @property
    def guess_s(self) -> float:
        """The same for fair shares: a guess before anything ended."""
        return max(self._mean_s, TASK_MIN_S) if self._count else FIRST_GUESS_S

    @property
    def is_short(self) -> bool:
        """Whether tasks are known to be short: only such are chunked and claimed ahead."""
        return self._count > 0 and max(self._mean_s, self._last_s) < SHORT_S

    def ended(self, tasks: int, elapsed_s: float) -> None:
        """`tasks` tasks, one after the other, took so long."""
        each = max(elapsed_s / tasks, TASK_MIN_S)
        weight = min(1.0, tasks / (min(self._count, MEAN_OVER) + tasks))
        self._count += tasks
        self._mean_s += (each - self._mean_s) * weight
        self._last_s = each
        if each > SHORT_S:
            self._size = 1
        if self._durations is not None:
            self._durations.extend([each] * min(tasks, DURATIONS_MAX))

    def per_slot(self, round_trip_s: float) -> int:
        """Tasks that one slot's share of a claim may hold."""
        if self._count == 0:
            return 1
        window = max(WINDOW_S, 2 * round_trip_s)
        fit = int(window / max(self._mean_s, self._last_s))
        return max(1, min(fit, self._size, CLAIM_MAX))

    def grew(self) -> None:
        """A claim was answered with tasks: the next one may ask for twice as many."""
        self._size = min(self._size * 2, CLAIM_MAX)

    def chunk_max(self) -> int:
        """Tasks that may be started as one chunk."""
        if not self.is_short:
            return 1
        return max(1, min(CLAIM_MAX, int(WINDOW_S / max(self._mean_s, self._last_s))))

    def follow_median(self) -> None:
        """Keep run times from now on: a time limit is a multiple of their median."""
        if self._durations is None:
            self._durations = deque(maxlen=DURATIONS_MAX)

    @property
    def median_s(self) -> float | None:
        """Median run time; None before DURATIONS_MIN tasks ended, or when nobody follows it."""
        if self._durations is None or len(self._durations) < DURATIONS_MIN:
            return None
        # By hand: importing `statistics` costs an agent half a megabyte.
        ordered = sorted(self._durations)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
