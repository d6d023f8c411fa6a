"""A task, its attempts and how they end."""

from enum import IntEnum
from typing import NamedTuple


class Attempt(NamedTuple):
    """One execution of a task; orders as (term, n), so any attempt of a later term is newer."""

    term: int
    n: int


class OutcomeState(IntEnum):
    """How an attempt ended. The numbers stand in ledgers and on the wire: never reuse one."""

    SUCCEEDED = 1
    #: Non-zero exit status, death by a signal of its own, or an exception.
    FAILED = 2
    #: Killed at its time limit.
    TIMED_OUT = 3
    #: The child process that ran a callable died under it.
    CRASHED = 4
    #: Killed at its memory limit.
    OUT_OF_MEMORY = 5
    #: Stopped because somebody asked for it.
    CANCELLED = 6
    #: Granted and never started: pending again, nothing spent. Never recorded.
    RETURNED = 7
    #: Gone with its agent more often than `crash_limit` (poison).
    LOST = 8


#: Outcomes that spend one of the starts that a RetryPolicy allows.
SPENDS_A_START = frozenset(
    {
        OutcomeState.FAILED,
        OutcomeState.TIMED_OUT,
        OutcomeState.CRASHED,
        OutcomeState.OUT_OF_MEMORY,
    }
)
