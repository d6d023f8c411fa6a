"""What goes wrong in a simulated cluster: machines die and come back, messages are late."""

from dataclasses import dataclass

from covey.sim.cluster import Cluster, Node
from covey.sim.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Faults:
    """Deaths of machines, at times drawn evenly over the arrivals; which machine is drawn too.

    A machine that dies is back after `down_s` as a new process that holds nothing.
    """

    deaths: int = 0
    down_s: float = 1.0

    def plan(self, cluster: Cluster, kernel: Kernel, start: float, stop: float) -> None:
        """Set all deaths between two times."""
        for _ in range(self.deaths):
            at = kernel.rng.uniform(start, stop)
            kernel.at(at, self._kill, (cluster, kernel))

    def _kill(self, argument: tuple[Cluster, Kernel]) -> None:
        cluster, kernel = argument
        agent: Node = kernel.rng.choice(cluster.agents)
        if agent.is_up:
            cluster.kill(agent)
            kernel.after(self.down_s, cluster.start_again, agent)
