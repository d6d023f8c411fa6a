"""How long the slots of an agent still have short tasks to do: by this it claims ahead."""

import math
from dataclasses import dataclass

from covey.core.claims import WINDOW_S, Pace
from covey.core.slots import Run


@dataclass(frozen=True, slots=True)
class Left:
    """What short work is left.

    until_dry_s: seconds until one of the slots finds nothing more. shares: of how many slots a
    claim fills all of them up again; what the others still have is not asked for twice.
    """

    until_dry_s: float
    shares: int


def left_of(runs: list[Run], queues: list[tuple[int, Pace]], now: float) -> Left | None:
    """What the slots of `runs` have to do; None = tasks wait for them that are not short.

    queues: (tasks, how long they take) of what was granted and waits.
    """
    ends: list[float] = []
    for run in runs:
        each = run.work.pace.task_s or 0.0
        ends.append(max(0.0, (len(run.ids) - run.ended) * each - (now - run.moved_at)))
    # In the order in which they take what waits.
    ends.sort()
    total_s, chunks = sum(ends), 0
    for queued, pace in queues:
        if not pace.is_short:
            return None
        total_s += queued * (pace.task_s or 0.0)
        chunks += -(-queued // pace.chunk_max())
    until_dry_s = ends[chunks] if chunks < len(ends) else total_s / len(ends)
    return Left(until_dry_s, max(1, math.ceil(len(ends) - total_s / WINDOW_S)))
