"""The placement policy that a job names."""

from covey.core.balancing import JoinShortestQueue, LeastLoaded
from covey.core.placement import PlacementPolicy
from covey.core.sampling import BatchSampling, PerTaskSampling, RandomPlacement
from covey.errors import InternalError
from covey.model import policy as names
from covey.model.job import JobSpec

#: Load of the cluster (busy slots ÷ slots) up to which an automatic probe ratio is
#: DEFAULT_PROBE_RATIO; and from which on it is AUTO_RATIO_MIN. In between it falls in a line.
AUTO_FULL_LOAD = 0.80
AUTO_LEAST_LOAD = 0.95
#: The least automatic probe ratio.
AUTO_RATIO_MIN = 1.05


def probe_ratio_at(load: float) -> float:
    """The automatic probe ratio d: 2 up to 80 % load, falling in a line to 1.05 at 95 %.

    Source: SOSP'13 §7.9, figure 9. At 80 % the median at d = 1.1 is 1.4 times the one at d = 2;
    the nearer to full, the less a second probe finds and the more its messages cost, while any
    d over 1 keeps most of the gain (1.1 is 2.5 times better than 1 at 90 %).

    Args:
        load: busy slots ÷ slots, as far as the scheduler knows.
    """
    span = AUTO_LEAST_LOAD - AUTO_FULL_LOAD
    part = min(1.0, max(0.0, (load - AUTO_FULL_LOAD) / span))
    return names.DEFAULT_PROBE_RATIO - part * (names.DEFAULT_PROBE_RATIO - AUTO_RATIO_MIN)


def policy_for(spec: JobSpec, load: float = 0.0) -> PlacementPolicy:
    """The policy of a job.

    Args:
        spec: `policy` and `probe_ratio` (0 = automatic) count.
        load: busy slots ÷ slots, for an automatic ratio.
    """
    ratio = spec.probe_ratio or probe_ratio_at(load)
    match spec.policy:
        case names.LATE_BINDING:
            return BatchSampling(ratio)
        case names.BATCH:
            return BatchSampling(ratio, is_late=False)
        case names.CHOOSE_TWO:
            return PerTaskSampling(ratio)
        case names.RANDOM:
            return RandomPlacement()
        case names.JSQ:
            return JoinShortestQueue()
        case names.LEAST_LOADED:
            return LeastLoaded()
        case _:
            raise InternalError(f"no scheduler places by {spec.policy!r}")
