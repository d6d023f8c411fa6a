"""What theory says of policies: the chance that no task of a job waits.

Source: Ousterhout et al., SOSP'13, §5, table 2. Assumed there: very many machines, so that they
are busy independently of each other; messages take no time; a machine with c slots is busy with the
chance ρ^c. That is exact for one slot; for more it takes the slots for independent of each other.
"""

from math import exp, lgamma, log

from covey.model import policy as p


def zero_wait(
    policy: str, load: float, tasks: int, ratio: float = 2.0, slots: int = 1
) -> float | None:
    """P(no task of a job waits); None = the paper has no formula for the policy."""
    busy = load**slots
    if policy == p.RANDOM:
        return (1.0 - busy) ** tasks
    if policy == p.CHOOSE_TWO:
        return (1.0 - busy**ratio) ** tasks
    if policy in (p.BATCH, p.LATE_BINDING):
        probed = round(ratio * tasks)
        return _at_least(tasks, probed, 1.0 - busy)
    return None


def late_binding_idle(mean_s: float, rtt_s: float, ratio: float = 2.0) -> float:
    """The part of slot time that late binding leaves idle while claims are on their way (§5)."""
    return ratio * rtt_s / (mean_s + ratio * rtt_s)


def _at_least(wanted: int, drawn: int, chance: float) -> float:
    """P(at least `wanted` of `drawn` hold), each with a chance of its own."""
    if chance <= 0.0 or chance >= 1.0:
        return chance
    total = 0.0
    for hits in range(wanted, drawn + 1):
        # By logarithms: the number of combinations alone may be larger than any float.
        ways = lgamma(drawn + 1) - lgamma(hits + 1) - lgamma(drawn - hits + 1)
        total += exp(ways + hits * log(chance) + (drawn - hits) * log(1.0 - chance))
    return min(1.0, total)
