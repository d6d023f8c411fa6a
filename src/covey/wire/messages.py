"""Every message of covey; what clients say to the head is written out in `wire.requests`.

A message between a scheduler and an agent travels in a `Frame` of a session (`core.link`): each
sequence number is applied once, in order. Messages marked *unsequenced* (seq 0) may be lost,
doubled or late, and say for themselves what a copy means. Requests of clients to the head are
unsequenced too: the client repeats them with the same nonce until the answer comes, and each is
idempotent.

How to change this page: add optional fields at the end; never reuse a tag; a change that an older
side would misread raises `PROTOCOL`. The hot path (`Grant`, `Finished`) carries batches: parallel
lists of ints, and one opaque `body` (payloads or reports, cut by `lens`) that only the services
fill and the child processes read. Cores leave `lens` and `body` alone.

Jobs are numbered per scheduler; tasks from 1 per job; shapes from 1 per job.
"""

from dataclasses import dataclass, field
from typing import Any

from covey.model.job import Shape
from covey.wire.requests import AddItems as AddItems
from covey.wire.requests import AddShape as AddShape
from covey.wire.requests import Advanced as Advanced
from covey.wire.requests import Answer as Answer
from covey.wire.requests import Ask as Ask
from covey.wire.requests import Cancel as Cancel
from covey.wire.requests import Follow as Follow
from covey.wire.requests import Put as Put
from covey.wire.requests import Seal as Seal
from covey.wire.requests import Submit as Submit
from covey.wire.requests import Watch as Watch

#: Version of this page. Sides with different versions refuse each other.
PROTOCOL = 1

# ---------------------------------------------------------------- scheduler -> agent


@dataclass(slots=True)
class Hello:
    """*Unsequenced.* A scheduler wants a session; repeated each second until `Welcome`.

    `opening` counts up within one scheduler incarnation: the agent answers a repeated one with the
    session it already made, ignores a lower one, and makes a new session for a higher one (or for
    a new term).
    """

    opening: int
    term: int
    #: 128 random bits (hex) per start of the scheduler.
    incarnation: str
    #: A durable scheduler comes back: its tasks and outcomes wait for it. An in-memory one does
    #: not.
    durable: bool = False
    #: Seconds between heartbeats.
    pulse_s: float = 1.0
    protocol: int = PROTOCOL


@dataclass(slots=True)
class Describe:
    """What the tasks of a shape need. Sent once per session before the shape is first mentioned."""

    job: int
    shape: int
    terms: Shape
    #: Whose job it is in the fair share between jobs; also JobSpec.name for `status`.
    name: str = ""
    #: Of the user (`Shape.user`) in the fair share between users.
    weight: float = 1.0
    #: False: one task per claim, nothing claimed ahead, no claim on `Finished` (rule 9).
    is_multi_get: bool = True


@dataclass(slots=True)
class Enqueue:
    """Sets (never adds to) the number of late-bound reservations an agent holds for a shape of a
    job.

    `standing`: keep the reservation after a claim until `NoTask(closed)` or a level of 0. With
    `terms`, the first mention of the shape in the session: the last fields are those of `Describe`.
    """

    job: int
    shape: int
    count: int
    standing: bool = True
    terms: Shape | None = None
    name: str = ""
    weight: float = 1.0
    is_multi_get: bool = True


@dataclass(slots=True)
class Withdraw:
    """Asks for granted tasks that were not started: they come back as `RETURNED`. No ids = all of
    the job.
    """

    job: int
    ids: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class Grant:
    """Tasks to run: the answer to a claim, or early bound. Never dropped silently."""

    job: int
    shape: int
    term: int
    ids: list[int]
    ns: list[int]
    lens: list[int] = field(default_factory=list[int])
    body: bytes = b""


@dataclass(slots=True)
class NoTask:
    """The claim found nothing: kept as credit, or (`closed`) the shape will never have a task
    again.

    shape 0 with `closed` = forget the whole job.
    """

    job: int
    shape: int
    closed: bool = False


@dataclass(slots=True)
class Stop:
    """Stop these attempts, running or queued (no ids = all of the job). Ends in `Finished`."""

    job: int
    term: int = 0
    ids: list[int] = field(default_factory=list[int])
    ns: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class Recorded:
    """These `Finished` batches are recorded: forget them. Coalesced for up to 5 ms, or until
    something else is said. `closed`: jobs to forget, as by `NoTask` with shape 0.
    """

    batches: list[int]
    closed: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class Tail:
    """Send what the running task writes (`Output`), from now on or no more. id 0 = every task of
    the job.
    """

    job: int
    id: int
    on: bool


# ---------------------------------------------------------------- agent -> scheduler


@dataclass(slots=True)
class Welcome:
    """Frame 1 of a new session: who the agent is and all that it holds for this scheduler.

    What it reports running and the scheduler does not know is stopped; what the scheduler
    believed running and is missing here is pending again.
    """

    opening: int
    #: 128 random bits (hex) per start of the agent.
    incarnation: str
    slots: int
    #: Slots not running anything now: the scheduler's first credit.
    free: int
    #: [job, shape, count] reservations held.
    holds: list[list[int]]
    #: [job, term, ids, ns] granted and running or queued here.
    running: list[list[Any]]
    #: [job, term, ids, ns] ended; their `Finished` batches follow again.
    unrecorded: list[list[Any]]
    #: For people: hostname, platform, python, cpus, slots_from, pid, version, directory.
    facts: dict[str, Any]
    protocol: int = PROTOCOL


@dataclass(slots=True)
class Load:
    """Answer to `Probe`: how much is waiting here. Said unasked (job 0) by an agent that leaves."""

    job: int
    queued: int
    busy: int
    #: It takes nothing more that needs a slot, and its reservations are void.
    is_leaving: bool = False


@dataclass(slots=True)
class Probe:
    """scheduler -> agent: how much is waiting with you? Answered by `Load`."""

    job: int


@dataclass(slots=True)
class Claim:
    """A reservation is in front and slots are free: up to `room` tasks of this shape, please."""

    job: int
    shape: int
    #: Tasks that fit (rule 9), a level: it replaces what an earlier claim asked.
    room: int
    #: Slots left free when this was said (rule 10).
    free: int


@dataclass(slots=True)
class Finished:
    """Attempts that ended. Repeated in a new session until `Recorded(batch)`.

    `shape` and `room` are the next claim, which rides along (room 0 = none).
    """

    batch: int
    job: int
    term: int
    ids: list[int]
    ns: list[int]
    states: list[int]
    #: Seconds of slot time that the batch took in all.
    elapsed_s: float
    shape: int = 0
    room: int = 0
    free: int = 0
    lens: list[int] = field(default_factory=list[int])
    body: bytes = b""


@dataclass(slots=True)
class Output:
    """*Unsequenced.* What a followed task wrote: bytes of a stream (1 out, 2 err) from `offset`
    on.
    """

    job: int
    id: int
    n: int
    stream: int
    offset: int
    body: bytes


# ---------------------------------------------------------------- both ways


@dataclass(slots=True)
class Heartbeat:
    """*Unsequenced.* I am alive; carries the acknowledgement of an otherwise silent link.

    A heartbeat with `nonce` > 0 is answered at once by one with `echo` = that nonce.
    """

    nonce: int = 0
    echo: int = 0
    #: From agents: {busy, queued, load1, mem_free, disk_free, forged, stale}.
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Goodbye:
    """*Unsequenced.* The sender leaves for good: an in-memory scheduler, or a drained agent."""

    incarnation: str
    reason: str = ""


@dataclass(slots=True)
class Fetch:
    """*Unsequenced.* Bytes of a blob, please. Repeated when no `Chunk` comes; see
    `files.transfer`.
    """

    digest: str
    offset: int
    length: int


@dataclass(slots=True)
class Chunk:
    """*Unsequenced.* Bytes of a blob; size -1: no such blob here, or not for you."""

    digest: str
    offset: int
    size: int
    body: bytes = b""


ToAgent = Describe | Enqueue | Withdraw | Grant | NoTask | Stop | Recorded | Tail | Probe
ToScheduler = Welcome | Load | Claim | Finished
Unsequenced = Hello | Heartbeat | Goodbye | Fetch | Chunk | Output
ToHead = Submit | AddShape | AddItems | Seal | Cancel | Watch | Follow | Put | Ask
ToClient = Answer | Advanced | Output
Message = ToAgent | ToScheduler | Unsequenced | ToHead | ToClient

#: Tag on the wire -> class. Append only.
TAGS: dict[int, type[Any]] = {
    1: Hello,
    2: Describe,
    3: Enqueue,
    4: Withdraw,
    5: Grant,
    6: NoTask,
    7: Stop,
    8: Recorded,
    9: Tail,
    10: Probe,
    20: Welcome,
    21: Load,
    22: Claim,
    23: Finished,
    24: Output,
    30: Heartbeat,
    31: Goodbye,
    32: Fetch,
    33: Chunk,
    40: Submit,
    41: AddItems,
    42: Seal,
    43: Cancel,
    44: Watch,
    45: Follow,
    46: Put,
    47: Ask,
    48: AddShape,
    50: Answer,
    51: Advanced,
}


@dataclass(slots=True)
class Frame:
    """What is signed and sent: one message, its place in the session, and the acknowledgement.

    session: 16 bytes chosen by the agent for each `Welcome`; empty before and outside sessions.
    seq: 1, 2, … per direction; 0 = unsequenced. ack: the last seq applied of the other direction.
    """

    session: bytes
    seq: int
    ack: int
    message: Message
