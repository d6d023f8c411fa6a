"""Policies that look at all agents: what sampling is measured against.

They cost a look at every agent per placement, so they are for clusters of a few hundred at most.
"""

import heapq
from collections.abc import Mapping, Sequence
from random import Random

from covey.core.placement import ALIKE, Placed, Traits
from covey.core.sampling import PROBING, UNKNOWN

#: Tasks per slot that `LEAST_LOADED` binds before one ends: completions shall tell where the next
#: ones go, and no slot may wait for its next task.
LEAST_LOADED_AHEAD = 2


class _Everybody:
    """Looks at all agents; of equals, the first in a random order is taken."""

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """One group of all agents."""
        return [rng.sample(agents, len(agents))]


class JoinShortestQueue(_Everybody):
    """All agents are probed; each task in turn joins the shortest queue (JSQ; Winston, 1977).

    Bound early. What was just placed counts.
    """

    traits = PROBING

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """Each task goes where least is waiting now."""
        group = [agent for group in groups for agent in group]
        return _least_first(tasks, group, [loads.get(agent, UNKNOWN) for agent in group], costs)


class LeastLoaded(_Everybody):
    """Each task goes where it would end first, by measured speed (greedy list scheduling, LPT).

    The load of an agent is what it was granted and has not ended, times the seconds that a task of
    the job took there. No messages: the scheduler's own books tell both. Few tasks are bound ahead
    (LEAST_LOADED_AHEAD), so that completions correct what was guessed. Source: the 2-approximation
    of Q||Cmax by a heap of loads (Graham, 1966; Gonzalez, Ibarra, Sahni, 1977).
    """

    traits = Traits(ahead=LEAST_LOADED_AHEAD, is_measuring=True)

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """Each task goes where the load is least with it."""
        group = [agent for group in groups for agent in group]
        ends = [loads.get(agent, 0.0) + costs.get(agent, 1.0) for agent in group]
        return _least_first(tasks, group, ends, costs)


def _least_first(
    tasks: int, group: list[str], loads: list[float], costs: Mapping[str, float]
) -> list[Placed]:
    """Each task in turn to the smallest of `loads`, which grows by its cost."""
    heap = [(load, at) for at, load in enumerate(loads)]
    heapq.heapify(heap)
    placed: list[Placed] = []
    for index in range(tasks if heap else 0):
        load, at = heap[0]
        agent = group[at]
        placed.append(Placed(agent, index))
        heapq.heapreplace(heap, (load + costs.get(agent, 1.0), at))
    return placed
