"""Which agents get the tasks of a job, or reservations for them: the port of all policies.

The port has two steps, so that the four classic policies of Sparrow (Ousterhout et al., *Sparrow:
Distributed, Low Latency Scheduling*, SOSP'13) fit it: `sample` says which groups of agents may be
used; if the policy asks (see `Traits`), the scheduler probes those agents for their load; `place`
then binds. A binding is early (it names a task, which is granted at once) or late (it names none:
a reservation, which some task will answer).

A policy reads no clock, keeps nothing between jobs, and knows no message. They are in `sampling`
and `balancing`; `policies` finds them by name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import NamedTuple, Protocol

#: Tasks per slot that may be bound early. Beyond it they wait at the scheduler, so that no agent's
#: queue grows without limit.
AHEAD_MAX = 256
#: Agents that are all alike: one more task adds 1.0 to the load of each.
ALIKE: Mapping[str, float] = {}


class Placed(NamedTuple):
    """One binding: `task` is the index (from 0) of a task bound early; None = late bound."""

    agent: str
    task: int | None


@dataclass(frozen=True, slots=True)
class Traits:
    """What a scheduler must know of a policy to drive its two steps."""

    #: The scheduler must probe the sampled agents and hand their loads to `place`.
    asks: bool = False
    #: Whether all its bindings are early; otherwise all are late.
    is_early: bool = True
    #: Tasks per slot that are bound early at most, before one of them ends.
    ahead: int = AHEAD_MAX
    #: Whether loads are what was granted, in seconds of measured time; see `LeastLoaded`.
    is_measuring: bool = False


class PlacementPolicy(Protocol):
    """How a scheduler spreads `tasks` pending tasks over agents."""

    @property
    def traits(self) -> Traits:
        """How it is driven."""
        ...

    def sample(self, tasks: int, agents: Sequence[str], rng: Random) -> list[list[str]]:
        """Groups of agents that may be used; `agents` is not empty."""
        ...

    def place(
        self,
        tasks: int,
        groups: list[list[str]],
        loads: Mapping[str, float],
        costs: Mapping[str, float] = ALIKE,
    ) -> list[Placed]:
        """Bindings for the tasks.

        Args:
            tasks: how many.
            groups: what `sample` drew, without the agents that went since; none is empty.
            loads: what waits at each agent, as it said if the policy `asks`, else as the scheduler
                has it in its books. Who is not in here has not answered.
            costs: what one more task adds to the load of an agent; 1.0 for who is not in here.
        """
        ...
