"""Policies that look at few agents, drawn at random (Ousterhout et al., *Sparrow*, SOSP'13, §3).

d is the probe ratio, a real number: m tasks draw round(d·m) agents in all, never m times d·m. Where
there are fewer agents than that, each is used as often as the others.
"""

import heapq
import math
from collections.abc import Mapping, Sequence
from random import Random

from covey.core.placement import ALIKE, Placed, Traits
from covey.model.policy import DEFAULT_PROBE_RATIO

#: Load of an agent that did not answer its probe: it is taken last.
UNKNOWN = math.inf

BLIND, PROBING, LATE = Traits(), Traits(asks=True), Traits(is_early=False)


class RandomPlacement:
    """Each task goes to an agent drawn at random, bound early (SOSP'13 §3.1, the baseline).

    One message per task. A task waits behind whatever its agent holds, however idle the others are.
    """

    traits = BLIND

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """A group of one for each task."""
        return [[rng.choice(agents)] for _ in range(tasks)]

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """Task i goes to group i."""
        return [Placed(group[0], index) for index, group in enumerate(groups[:tasks])]


class PerTaskSampling:
    """d agents are probed for each task, and it goes to the least loaded of them (SOSP'13 §3.2).

    The power of two choices (Mitzenmacher, 2001): bound early. A job waits for its unluckiest task,
    so the more tasks it has, the less this helps. What the job has just placed counts as load.
    """

    traits = PROBING

    def __init__(self, ratio: float = DEFAULT_PROBE_RATIO) -> None:
        #: d; a task has at least one agent.
        self.ratio = max(1.0, ratio)

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """A group for each task, of d agents (as many as round d·m to, summed over all)."""
        groups: list[list[str]] = []
        drawn = 0
        for task in range(1, tasks + 1):
            wanted = round(self.ratio * task) - drawn
            drawn += wanted
            groups.append(rng.sample(agents, min(len(agents), max(1, wanted))))
        return groups

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """Task i goes to the least loaded agent of group i; of equals, to the first drawn."""
        added: dict[str, float] = {}
        placed: list[Placed] = []
        for index, group in enumerate(groups[:tasks]):
            agent = min(group, key=lambda one: loads.get(one, UNKNOWN) + added.get(one, 0.0))
            added[agent] = added.get(agent, 0.0) + costs.get(agent, 1.0)
            placed.append(Placed(agent, index))
        return placed


class BatchSampling:
    """The d·m agents drawn for a job share all its tasks (SOSP'13 §3.3); late bound: §3.4.

    Late (`BATCH+LATE_BINDING`): each agent drawn gets a reservation, and whichever slot is free
    first takes a task, so that no task waits behind a long one while a sampled slot is idle. Costs
    d·m reservations and as many claims, and a round trip per task in which its slot is idle.

    Early (`BATCH`): the agents are probed, and the m least loaded of them get a task each. Probes
    tell the length of a queue, not how long it takes.
    """

    def __init__(self, ratio: float = DEFAULT_PROBE_RATIO, *, is_late: bool = True) -> None:
        #: d, probes or reservations per task (§7.9: 2 is enough; less than 1 would leave tasks
        #: without one).
        self.ratio = max(1.0, ratio)
        self.traits = LATE if is_late else PROBING

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """One group: d·m draws without replacement, begun anew when all agents were drawn.

        Those who are asked are drawn once.
        """
        wanted = max(1, round(self.ratio * tasks))
        if self.traits.asks:
            return [rng.sample(agents, min(len(agents), wanted))]
        group: list[str] = []
        while len(group) < wanted:
            group += rng.sample(agents, min(len(agents), wanted - len(group)))
        return [group]

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """A reservation for each draw; or the tasks, in rounds of one task per chosen agent.

        With d·m agents there is one round. With fewer, each round takes the least loaded 1/d of
        them, as if they were probed again.
        """
        if not self.traits.is_early:
            return [Placed(agent, None) for group in groups for agent in group]
        load = {agent: loads.get(agent, UNKNOWN) for group in groups for agent in group}
        chosen: list[str] = []
        while load and len(chosen) < tasks:
            share = max(1, round(len(load) / self.ratio))
            best = heapq.nsmallest(min(share, tasks - len(chosen)), load, key=load.__getitem__)
            for agent in best:
                load[agent] += costs.get(agent, 1.0)
            chosen += best
        return [Placed(agent, index) for index, agent in enumerate(chosen)]
