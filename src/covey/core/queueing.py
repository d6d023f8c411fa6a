"""Which waiting line a free slot of an agent serves next.

A *line* is what waits here for one shape of one job of one scheduler. A policy orders lines and is
told what each was given; it keeps no clock and knows no message. Within one urgency and one user's
share an agent serves granted tasks (early bound) before it claims for reservations (late bound),
and asks the policy among equals.
"""

from typing import Protocol

#: Slot-seconds of service that a user or job can be behind at most: who was idle for an hour does
#: not get an hour of all slots for it.
LAG_MAX_S = 1.0
#: No weight is taken to be smaller: nothing may divide by zero.
WEIGHT_MIN = 1e-6


class Line(Protocol):
    """What a policy may know of a waiting line."""

    @property
    def scheduler(self) -> str:
        """Whose job it is."""
        ...

    @property
    def job(self) -> int:
        """Its number at that scheduler."""
        ...

    @property
    def user(self) -> str:
        """Against whose share it counts."""
        ...

    @property
    def priority(self) -> int:
        """Larger is more urgent."""
        ...

    @property
    def order(self) -> int:
        """When it got in line; renewed when a standing reservation was claimed for."""
        ...


class QueuePolicy(Protocol):
    """The port of all queue policies."""

    def urgency(self, line: Line) -> int:
        """Lines of larger urgency are served first, bound or not."""
        ...

    def rank(self, line: Line) -> tuple[float, ...]:
        """Of lines that are equally urgent, the one with the smallest rank is served first.

        Only between lines whose first number is the same, those with granted tasks go before those
        with reservations: who binds early does not take the share of who binds late.
        """
        ...

    def weigh(self, user: str, weight: float) -> None:
        """The weight of a user, as the newest job of theirs has it."""
        ...

    def charge(self, line: Line, slot_s: float) -> None:
        """The line was given so many slot-seconds (a guess, corrected at the end: below 0)."""
        ...

    def forget(self, scheduler: str, job: int) -> None:
        """The job is over here."""
        ...


class Fifo:
    """First come, first served.

    Source: the queue of Sparrow's node monitor (Ousterhout et al., SOSP'13, §3.1 and §5).
    """

    def urgency(self, line: Line) -> int:
        """All alike."""
        return 0

    def rank(self, line: Line) -> tuple[float, ...]:
        """By arrival."""
        return (0.0, line.order)

    def weigh(self, user: str, weight: float) -> None:
        """All alike."""

    def charge(self, line: Line, slot_s: float) -> None:
        """Nothing is remembered."""

    def forget(self, scheduler: str, job: int) -> None:
        """Nothing is remembered."""


class Priority(Fifo):
    """Strict priority, larger first; first come, first served among equals.

    Source: Ousterhout et al., SOSP'13, §4.2 (one queue per priority at each node monitor). What
    runs is not preempted.
    """

    def urgency(self, line: Line) -> int:
        """The priority of its shape."""
        return line.priority


class FairShare:
    """Strict priority, then weighted fair shares of slot time by user, then by job of the user.

    Source: Ousterhout et al., SOSP'13, §4.2 (a queue per user, weighted fair queueing at each node
    monitor); virtual time by start tags as in start-time fair queueing (Goyal, Vin, Cheng,
    SIGCOMM'96). Each share has a virtual time, the slot-seconds it got over its weight; the
    smallest is served. A share that was idle begins LAG_MAX_S behind what is served now.

    Args:
        weights: user -> weight; 1.0 for users not named.
    """

    def __init__(self, weights: dict[str, float] | None = None) -> None:
        self._weights = dict(weights or {})
        self._of_user: dict[str, float] = {}
        self._of_job: dict[str, dict[tuple[str, int], float]] = {}
        self._served_user = 0.0
        self._served_job: dict[str, float] = {}

    def urgency(self, line: Line) -> int:
        """The priority of its shape."""
        return line.priority

    def weigh(self, user: str, weight: float) -> None:
        """From now on, the user's slot-seconds count by this weight."""
        self._weights[user] = max(weight, WEIGHT_MIN)

    def rank(self, line: Line) -> tuple[float, ...]:
        """By the user's share, the job's share of it, arrival."""
        return (self._user_time(line.user), self._job_time(line), line.order)

    def charge(self, line: Line, slot_s: float) -> None:
        """Move the virtual times of its user and its job."""
        user = line.user
        of_user = self._user_time(user)
        of_job = self._job_time(line)
        if slot_s > 0:
            self._served_user = max(self._served_user, of_user)
            self._served_job[user] = max(self._served_job.get(user, 0.0), of_job)
        self._of_user[user] = of_user + slot_s / self._weights.get(user, 1.0)
        self._of_job.setdefault(user, {})[line.scheduler, line.job] = of_job + slot_s

    def forget(self, scheduler: str, job: int) -> None:
        """Drop the job's virtual time; a user's stays (there are few users)."""
        for user, jobs in list(self._of_job.items()):
            jobs.pop((scheduler, job), None)
            if not jobs:
                del self._of_job[user]
                self._served_job.pop(user, None)

    def _user_time(self, user: str) -> float:
        return max(self._of_user.get(user, 0.0), self._served_user - LAG_MAX_S)

    def _job_time(self, line: Line) -> float:
        known = self._of_job.get(line.user, {}).get((line.scheduler, line.job), 0.0)
        return max(known, self._served_job.get(line.user, 0.0) - LAG_MAX_S)
