"""When an attempt that did not succeed is tried again.

Three counters of a task decide, and nothing else: starts that ended badly (they are bounded by
`RetryPolicy.starts_max`), starts that were lost with an agent or machine (bounded by
`crash_limit`: a task that takes its machine down is poison), and grants that were returned
unstarted (never bounded, nothing spent).
"""

from covey.model.job import HaltPolicy, RetryPolicy
from covey.model.task import SPENDS_A_START, OutcomeState


def may_start_again(policy: RetryPolicy, state: int, starts_spent: int) -> bool:
    """Whether an attempt that ended in `state` is followed by another.

    Args:
        policy: of the job; `starts_max` 0 = without end.
        state: OutcomeState of the attempt that has just ended.
        starts_spent: starts of the task so far, this one included.
    """
    if OutcomeState(state) not in SPENDS_A_START:
        return False
    return policy.starts_max == 0 or starts_spent < policy.starts_max


def is_poison(policy: RetryPolicy, starts_lost: int) -> bool:
    """Whether a task was lost with its agent so often that it ends as LOST."""
    return starts_lost >= policy.crash_limit


def is_halting(policy: HaltPolicy, succeeded: int, failed: int, total: int | None) -> bool:
    """Whether so many tasks ended that the job shall end early (GNU parallel's --halt).

    Args:
        policy: either its count or its percent is set.
        succeeded: tasks that ended well.
        failed: tasks that ended badly.
        total: tasks of the job; None = not known yet, then a percentage of it is not either.
    """
    ended = succeeded + failed
    counted = {"fail": failed, "success": succeeded, "done": ended}[policy.on]
    if policy.count:
        return counted >= policy.count
    # Of all tasks, so one early failure is no 100 %.
    return bool(total) and counted * 100 >= policy.percent * total
