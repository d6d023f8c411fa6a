"""What `covey sparrow` submits, drawn once: the same jobs for every policy. Pure.

The lengths of tasks and the arrivals of jobs come from two generators of one seed, so that the
tasks stay the same when only the arrivals are asked for differently.
"""

import heapq
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, cast

from covey.errors import UsageError
from covey.model.users import PRIORITY_MAX, PRIORITY_MIN

#: How jobs arrive: all at once, as the Python replication submits them; each when the one before
#: has ended; or by a Poisson process.
Arrival = Literal["together", "sequence", "poisson"]
ARRIVALS: tuple[Arrival, ...] = ("together", "sequence", "poisson")
#: Most tasks of one draw.
TASKS_MAX = 2_000_000
#: Longest task.
TASK_MAX_S = 86_400.0
#: First line of a saved draw; and of one whose jobs arrive each when the one before has ended.
_HEAD = "covey sparrow trace 1"
_HEAD_IN_TURN = "covey sparrow trace 1, in turn"


@dataclass(frozen=True, slots=True)
class User:
    """Whose jobs they are. load: the part of all slots that his jobs want; None = his share."""

    name: str = ""
    weight: float = 1.0
    #: Larger is served first.
    priority: int = 0
    load: float | None = None


@dataclass(frozen=True, slots=True)
class DrawnJob:
    """One job: when it arrives (seconds from the start), and how long each of its tasks takes."""

    at_s: float
    durations_s: tuple[float, ...]
    user: User = User()


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to be drawn."""

    jobs: int
    tasks: int
    duration_s: float
    spread_s: float = 0.0
    seed: int = 0
    arrival: Arrival = "together"
    #: Part of all slots that is wanted on average, of a Poisson process.
    load: float = 0.8
    users: tuple[User, ...] = (User(),)
    #: No job arrives later; 0 = JOBS says how many there are.
    until_s: float = 0.0

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            UsageError: one sentence.
        """
        if self.jobs < 1:
            raise UsageError(f"JOBS is {self.jobs}: give 1 or more")
        if self.tasks < 1:
            raise UsageError(f"TASKS is {self.tasks}: a job without tasks has nothing to measure")
        if self.jobs * self.tasks > TASKS_MAX:
            raise UsageError(
                f"JOBS × TASKS is {self.jobs:,} × {self.tasks:,} = {self.jobs * self.tasks:,}:"
                f" at most {TASKS_MAX:,} tasks are drawn"
            )
        if not 0 <= self.duration_s <= TASK_MAX_S:
            raise UsageError(
                f"DURATION is {self.duration_s:g}: give seconds from 0 to {TASK_MAX_S:,.0f}"
            )
        if not 0 <= self.spread_s <= self.duration_s:
            raise UsageError(
                f"SPREAD is {self.spread_s:g}: give 0 to DURATION ({self.duration_s:g}), for no"
                " task takes less than no time"
            )
        if self.arrival == "poisson":
            self._check_load()

    def _check_load(self) -> None:
        for load in [self.load, *(user.load for user in self.users if user.load is not None)]:
            if not (0 < load < math.inf):
                raise UsageError(f"a load of {load:g}: give a part of all slots, as 0.8")
        if not self.duration_s:
            raise UsageError("tasks that take no time make no load: give a DURATION over 0")


def draw(ask: Ask, slots: int) -> list[DrawnJob]:
    """The jobs, in the order of their arrival. slots: of the cluster, which a load refers to.

    Raises:
        UsageError: what is asked for makes no sense.
    """
    ask.check()
    lengths = Random(ask.seed)
    low, high = ask.duration_s - ask.spread_s, ask.duration_s + ask.spread_s
    arrivals = _arrivals(ask, slots)
    return [
        DrawnJob(at_s, tuple(lengths.uniform(low, high) for _ in range(ask.tasks)), user)
        for at_s, user in arrivals
    ]


def _arrivals(ask: Ask, slots: int) -> list[tuple[float, User]]:
    rng = Random(f"{ask.seed} arrivals")
    if ask.arrival != "poisson":
        return [(0.0, rng.choice(ask.users)) for _ in range(ask.jobs)]
    job_s = ask.duration_s * ask.tasks / slots
    shares = len([user for user in ask.users if user.load is None])
    streams = [
        _stream(user, (ask.load / shares if user.load is None else user.load) / job_s, rng)
        for user in ask.users
    ]
    merged: list[tuple[float, User]] = []
    for at_s, user in heapq.merge(*streams, key=lambda one: one[0]):
        if len(merged) == ask.jobs or (ask.until_s and at_s > ask.until_s):
            break
        merged.append((at_s, user))
    if not merged:
        raise UsageError(f"no job arrives within {ask.until_s:g} s: give a longer --duration")
    return merged


def _stream(user: User, per_s: float, rng: Random) -> Iterable[tuple[float, User]]:
    own, at_s = Random(rng.random()), 0.0
    while True:
        at_s += own.expovariate(per_s)
        yield at_s, user


# -------------------------------------------------------------------- what an ideal cluster needs


def ideal_responses(jobs: Sequence[DrawnJob], slots: int, *, in_turn: bool = False) -> list[float]:
    """Response times where nothing but the slots is scarce: no message takes time, all is known.

    Tasks start in the order of their jobs' priority, then arrival, on whichever slot is free first.
    While slots suffice, a job takes as long as its longest task.

    in_turn: each job arrives when the one before has ended.
    """
    if in_turn:
        return [ideal_responses([DrawnJob(0.0, job.durations_s)], slots)[0] for job in jobs]
    free = [0.0] * slots
    ended = [job.at_s for job in jobs]
    waiting: list[tuple[int, int, int]] = []
    after, now_s = 0, 0.0
    while waiting or after < len(jobs):
        now_s = max(now_s, free[0])
        if not waiting:
            now_s = max(now_s, jobs[after].at_s)
        while after < len(jobs) and jobs[after].at_s <= now_s:
            for task in range(len(jobs[after].durations_s)):
                heapq.heappush(waiting, (-jobs[after].user.priority, after, task))
            after += 1
        _, number, task = heapq.heappop(waiting)
        done_s = now_s + jobs[number].durations_s[task]
        heapq.heapreplace(free, done_s)
        ended[number] = max(ended[number], done_s)
    return [end - job.at_s for end, job in zip(ended, jobs, strict=True)]


# ------------------------------------------------------------ --save-trace, --trace, --users


def to_lines(jobs: Sequence[DrawnJob], *, in_turn: bool = False) -> str:
    """A draw as text: a line of JSON per job."""
    lines = [json.dumps(_HEAD_IN_TURN if in_turn else _HEAD)]
    for job in jobs:
        user = job.user
        plain: dict[str, Any] = {"at_s": job.at_s, "durations_s": list(job.durations_s)}
        if user != User():
            plain |= {"user": user.name, "weight": user.weight, "priority": user.priority}
        lines.append(json.dumps(plain))
    return "\n".join(lines) + "\n"


def from_lines(text: str, name: str) -> tuple[list[DrawnJob], bool]:
    """The draw that `to_lines` wrote; name: of the file, for the error.

    Returns:
        Its jobs, and whether each arrives when the one before has ended.

    Raises:
        UsageError: it is none.
    """
    head, _, rest = text.partition("\n")
    in_turn = head.strip() == json.dumps(_HEAD_IN_TURN)
    if not in_turn and head.strip() != json.dumps(_HEAD):
        raise UsageError(f"{name} is no trace: covey sparrow --save-trace writes them")
    jobs: list[DrawnJob] = []
    for number, line in enumerate(rest.splitlines(), 2):
        try:
            jobs.append(_job_of(json.loads(line)))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"{name}, line {number} is no job: {error}") from None
    if not jobs:
        raise UsageError(f"{name} has no jobs")
    return sorted(jobs, key=lambda job: job.at_s), in_turn


def _job_of(plain: dict[str, Any]) -> DrawnJob:
    durations = tuple(float(length) for length in cast(list[Any], plain["durations_s"]))
    at_s = float(plain["at_s"])
    if not durations or not all(0 <= one <= TASK_MAX_S for one in durations):
        raise ValueError("durations_s must be numbers of seconds, one at least")
    if not 0 <= at_s < math.inf:
        raise ValueError("at_s must be a number of seconds")
    weight, priority = float(plain.get("weight", 1.0)), int(plain.get("priority", 0))
    if not 0 < weight < math.inf:
        raise ValueError("weight must be a number over 0")
    if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
        raise ValueError(f"priority must be from {PRIORITY_MIN} to {PRIORITY_MAX}")
    return DrawnJob(at_s, durations, User(str(plain.get("user", "")), weight, priority))


def users_of(text: str) -> tuple[User, ...]:
    """The users in `a:2:0,b:1:1`: name:weight:priority, and maybe :load.

    Raises:
        UsageError: they cannot be read.
    """
    users: list[User] = []
    for piece in text.split(","):
        name, *rest = piece.strip().split(":")
        try:
            if not name or len(rest) > 3:
                raise ValueError
            weight = float(rest[0]) if rest else 1.0
            priority = int(rest[1]) if len(rest) > 1 else 0
            load = float(rest[2]) if len(rest) > 2 else None
        except ValueError:
            raise UsageError(
                f"--users: {piece.strip()!r} is not name:weight:priority, as in a:2:0,b:1:1"
            ) from None
        if not 0 < weight < math.inf:
            raise UsageError(f"--users: the weight of {name} must be over 0")
        if not PRIORITY_MIN <= priority <= PRIORITY_MAX:
            raise UsageError(
                f"--users: the priority of {name} must be from {PRIORITY_MIN} to {PRIORITY_MAX}"
            )
        users.append(User(name, weight, priority, load))
    if len({user.name for user in users}) < len(users):
        raise UsageError("--users: a name is given twice")
    return tuple(users)
