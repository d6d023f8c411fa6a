"""How long a message is on its way between two simulated parties."""

from dataclasses import dataclass
from random import Random
from typing import Literal


@dataclass(frozen=True, slots=True)
class Latency:
    """One-way delays: `constant`, `uniform` between none and twice the mean, or `exponential`.

    late_share: that part of the messages takes `late_s` seconds more (a network with a fault).
    """

    mean_s: float = 0.0005
    kind: Literal["constant", "uniform", "exponential"] = "constant"
    late_share: float = 0.0
    late_s: float = 0.0

    @property
    def is_constant(self) -> bool:
        """Whether all messages take the same time, so that none overtakes another."""
        return self.kind == "constant" and not self.late_share

    def draw(self, rng: Random) -> float:
        """Seconds for the next message."""
        if self.kind == "constant":
            delay_s = self.mean_s
        elif self.kind == "uniform":
            delay_s = rng.uniform(0.0, 2 * self.mean_s)
        else:
            delay_s = rng.expovariate(1.0) * self.mean_s
        if self.late_share and rng.random() < self.late_share:
            delay_s += self.late_s
        return delay_s
