"""Running tasks that are stopped so that others may run; they go back as if never started.

Three reasons: a chunk that stands still keeps tasks from running elsewhere; the machine is short of
memory; a more urgent line, that may preempt, waits and no slot is free. Law: a task is preempted by
more urgent ones only, and no more of them than the slots that are needed.
"""

import math

from covey.core.actions import Kill, Strike
from covey.core.reservations import Work
from covey.core.serving import Serving
from covey.core.slots import Run, SlotTable

#: A chunk that has not moved for so long is cut: its other tasks may run elsewhere.
CHUNK_STUCK_S = 0.05
#: Free memory below this part of a shape's gate kills its youngest task, which goes back.
MEMFREE_KILL = 0.5


class Stopping:
    """Picks what is stopped, of the runs of one agent."""

    def __init__(self, slots: SlotTable, serving: Serving) -> None:
        self._slots = slots
        self._serving = serving

    def stuck_at(self) -> float:
        """When the first chunk that does not move is to be cut; inf = there is none."""
        first = math.inf
        for run in self._slots.runs.values():
            if len(run.ids) - run.ended > 1 and not run.is_struck:
                first = min(first, run.moved_at + CHUNK_STUCK_S)
        return first

    def strike_stuck(self, now: float) -> list[Strike]:
        """Cut chunks that take far longer than expected."""
        strikes: list[Strike] = []
        for run in self._slots.runs.values():
            waits = len(run.ids) - run.ended > 1
            if waits and not run.is_struck and now >= run.moved_at + CHUNK_STUCK_S:
                run.is_struck = True
                strikes.append(Strike(run.slots[0]))
        return strikes

    def gauge(self, load1: float, memfree_bytes: int) -> list[Kill]:
        """Load and free memory: gates open and shut; one task goes back if memory is short."""
        self._serving.load1 = load1
        self._serving.memfree_bytes = memfree_bytes
        short = [
            run
            for run in self._slots.runs.values()
            if run.left() and memfree_bytes < MEMFREE_KILL * run.work.terms.memfree_bytes
        ]
        if any(run.is_returning for run in short):
            return []
        youngest = max(short, key=lambda run: run.started_at, default=None)
        return [] if youngest is None else [_send_back(youngest)]

    def preempt(self) -> list[Kill]:
        """Make room for granted tasks that may stop others: the youngest of the least urgent."""
        if not self._serving.preempting:
            return []
        kills: list[Kill] = []
        # What is being stopped already makes room, too.
        free = self._slots.free + sum(
            run.width for run in self._slots.runs.values() if run.is_returning or run.is_orphan
        )
        lines = self._serving.preempting.values()
        for work in sorted(lines, key=lambda work: (-work.priority, work.order)):
            if not self._serving.may_start(work):
                continue
            for _ in range(min(work.queued, self._serving.headroom(work))):
                victims = self._victims(work, work.terms.slots - free)
                if victims is None:
                    break
                kills += [_send_back(run) for run in victims]
                free += sum(run.width for run in victims) - work.terms.slots
        return kills

    def _victims(self, work: Work, missing: int) -> list[Run] | None:
        """Runs whose end frees so many slots; None = there are not enough that may be stopped."""
        victims: list[Run] = []
        if missing <= 0:
            return victims
        below = [run for run in self._slots.runs.values() if run.may_yield_to(work)]
        for run in sorted(below, key=lambda run: (run.work.priority, -run.started_at)):
            victims.append(run)
            missing -= run.width
            if missing <= 0:
                return victims
        return None


def _send_back(run: Run) -> Kill:
    run.is_returning = True
    return Kill(run.slots[0], run.left())
