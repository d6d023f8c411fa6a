"""Which agents get reservations for the tasks of a job.

The port has two steps, so that the four classic policies of Sparrow (Ousterhout et al., *Sparrow:
Distributed, Low Latency Scheduling*, SOSP'13) fit it: `sample` says which groups of agents may be
used; if the policy `asks`, the scheduler probes those agents for their load; `place` then binds. A
binding is early (it names a task, which is granted at once) or late (it names none: a reservation,
which some task will answer).

A policy reads no clock, keeps nothing between jobs, and knows no message.
"""

from collections.abc import Mapping, Sequence
from random import Random
from typing import ClassVar, NamedTuple, Protocol


class Placed(NamedTuple):
    """One binding: `task` is the index (from 0) of a task bound early; None = late bound."""

    agent: str
    task: int | None


class PlacementPolicy(Protocol):
    """How a scheduler spreads `tasks` pending tasks over agents."""

    #: The scheduler must probe the sampled agents and hand their loads to `place`.
    asks: ClassVar[bool]

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """Groups of agents that may be used; `agents` is not empty."""
        ...

    def place(self, tasks: int, groups: list[list[str]], loads: Mapping[str, int]) -> list[Placed]:
        """Bindings for the tasks. `loads`: what waits at each agent (empty unless the policy
        `asks`).
        """
        ...


class RandomPlacement:
    """Each task goes to an agent drawn at random, bound early (SOSP'13 §3.1, the baseline).

    One message per task. A task waits behind whatever its agent holds, however idle the others are.
    """

    asks: ClassVar[bool] = False

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """A group of one for each task."""
        return [[rng.choice(agents)] for _ in range(tasks)]

    def place(self, tasks: int, groups: list[list[str]], loads: Mapping[str, int]) -> list[Placed]:
        """Task i goes to group i."""
        return [Placed(group[0], index) for index, group in enumerate(groups[:tasks])]


class BatchSampling:
    """d reservations per task over agents drawn at random, bound late (SOSP'13 §3.3, §3.4).

    m tasks leave d·m reservations on distinct agents while there are enough of them; whichever
    slot is free first takes a task, so that no task waits behind a long one while a sampled slot
    is idle. Costs d·m messages and as many claims. With fewer than d·m agents each of them gets
    its share, which is what random placement with late binding gives.
    """

    asks: ClassVar[bool] = False

    def __init__(self, ratio: float = 2.0) -> None:
        #: d, the reservations per task (§5.6: 2 is enough; less than 1 would leave tasks without
        #: one).
        self.ratio = max(1.0, ratio)

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """One group: d·m draws without replacement, begun anew when all agents were drawn."""
        wanted = max(1, round(self.ratio * tasks))
        group: list[str] = []
        while len(group) < wanted:
            group += rng.sample(agents, min(len(agents), wanted - len(group)))
        return [group]

    def place(self, tasks: int, groups: list[list[str]], loads: Mapping[str, int]) -> list[Placed]:
        """A reservation for each draw."""
        return [Placed(agent, None) for group in groups for agent in group]
