"""What a core may be told (events) and what it may ask of its service (actions). Only values.

A core is driven so:  `for action in core.handle(event, now): service.perform(action)`, and with a
`Tick` when `now` (monotonic seconds) reaches `core.wake_at` (None = nothing to wake for). Actions
are performed in order; `Record` is a barrier: whatever stands behind it in the list is performed
only when it is durable. All barriers of a list go to the ledger at once, in order (later lists
would overtake one that waits); no `Send` stands behind one. A batch is parallel lists, not objects.
"""

from dataclasses import dataclass, field

from covey.model.job import JobSpec, Shape
from covey.wire.messages import Frame

# ---------------------------------------------------------------- events of both cores


@dataclass(slots=True)
class Arrived:
    """A frame came from `peer` (its signature is right; who sent it is what the subject says)."""

    peer: str
    frame: Frame


@dataclass(slots=True)
class PeerGone:
    """Nobody listens on the peer's subject (the server's 503), or its lifeline broke."""

    peer: str


@dataclass(slots=True)
class BusDown:
    """Our own link to the bus is gone: nobody may be judged for silence until `BusUp`."""


@dataclass(slots=True)
class BusUp:
    """Our own link to the bus is proven up: send unacknowledged frames again, restart all
    timers.
    """


@dataclass(slots=True)
class Tick:
    """`now` has reached `wake_at`."""


# ---------------------------------------------------------------- events of the agent's core


@dataclass(slots=True)
class Ended:
    """The next tasks of the chunk that runs in `slot` ended, in the order in which they were
    started.

    states: OutcomeState per task. The service holds their reports. `is_last`: the chunk is
    through and the slot may be used again (after a dead child: when its successor is ready). A
    dead child yields the states of what it had written, CRASHED for the task it was in, RETURNED
    for the rest.
    """

    slot: int
    states: list[int]
    elapsed_s: float
    is_last: bool


@dataclass(slots=True)
class Struck:
    """Answer to `Strike`: the last `count` tasks of the chunk will never be started."""

    slot: int
    count: int


@dataclass(slots=True)
class Gauged:
    """Load average and free memory of the machine, for shapes with gates. At most once a second."""

    load1: float
    memfree_bytes: int


@dataclass(slots=True)
class DrainAsked:
    """Take nothing more; return what was not started; say `Goodbye` when nothing runs."""


# ---------------------------------------------------------------- events of the scheduler's core


@dataclass(slots=True)
class AgentKnown:
    """There is (or may be) an agent of this name: keep asking it for a session."""

    agent: str


@dataclass(slots=True)
class AgentForgotten:
    """The agent was taken down by its owner: lost at once, and asked no more."""

    agent: str


@dataclass(slots=True)
class Opened:
    """A new job without tasks. Shapes of the spec are numbered from 1."""

    job: int
    spec: JobSpec


@dataclass(slots=True)
class Restored:
    """A job out of the ledger, at the start of a durable scheduler.

    done: a bit per task (task i is bit i), set where an outcome is recorded. starts: task -> starts
    spent so far (from the attempt table). shape_of_all: items of a durable job have one shape.
    """

    job: int
    spec: JobSpec
    held: int
    total: int | None
    done: bytearray
    succeeded: int
    failed: int
    cancelled: int
    is_cancelling: bool
    high_water: int
    starts: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(slots=True)
class Shaped:
    """One more shape of an open job."""

    job: int
    shape: int
    terms: Shape


@dataclass(slots=True)
class Added:
    """Tasks first … first+count-1 of one shape. bytes_mean: mean payload, so that grants stay
    small.
    """

    job: int
    shape: int
    first: int
    count: int
    bytes_mean: int = 0


@dataclass(slots=True)
class Sealed:
    """The job will get no more tasks."""

    job: int
    total: int


@dataclass(slots=True)
class CancelAsked:
    """Cancel these tasks (none = the whole job)."""

    job: int
    ids: list[int] = field(default_factory=list[int])


@dataclass(slots=True)
class TailAsked:
    """Follow the output of a task (0 = all of the job's), or no more."""

    job: int
    id: int
    on: bool


@dataclass(slots=True)
class Confirm:
    """Action and event: perform it by handing this very value back to the core's `handle`.

    It stands behind the barrier that made something durable. What may be said then: `Recorded` of
    a batch (agent, session, batch), or the `Stop`s of a job whose cancelling is written (job). One
    that is never handed back (a crash) costs nothing but a repetition.
    """

    job: int
    agent: str = ""
    session: bytes = b""
    batch: int = 0


Event = (
    Arrived
    | PeerGone
    | BusDown
    | BusUp
    | Tick
    | Ended
    | Struck
    | Gauged
    | DrainAsked
    | AgentKnown
    | AgentForgotten
    | Opened
    | Restored
    | Shaped
    | Added
    | Sealed
    | CancelAsked
    | TailAsked
    | Confirm
)

# ---------------------------------------------------------------- actions of both cores


@dataclass(slots=True)
class Send:
    """Transmit a frame. The same frame object comes again when it must be repeated."""

    to: str
    frame: Frame


# ---------------------------------------------------------------- actions of the agent's core


@dataclass(slots=True)
class Start:
    """Run this chunk in a free slot. The service slices the payloads out of what it kept of the
    grants.
    """

    slot: int
    scheduler: str
    job: int
    shape: int
    terms: Shape
    term: int
    ids: list[int]
    ns: list[int]
    #: Seconds from now after which a task is killed (0 = none): of terms, or of the median so far.
    time_limit_s: float = 0.0


@dataclass(slots=True)
class Kill:
    """Stop these tasks of the chunk in `slot` (its whole process tree); unstarted ones are only
    struck out.

    They end with the state CANCELLED (`Ended`), unless they were quicker.
    """

    slot: int
    ids: list[int]


@dataclass(slots=True)
class Strike:
    """Cut off what is not started of the chunk in `slot`: it is stuck. Answered by `Struck`."""

    slot: int


@dataclass(slots=True)
class DropPayloads:
    """The payloads of these granted tasks are needed no more here (returned, ended, cancelled)."""

    scheduler: str
    job: int
    term: int
    ids: list[int]


@dataclass(slots=True)
class DropReports:
    """Batch `batch` of this scheduler is recorded, or nobody wants it: its reports may go."""

    scheduler: str
    batch: int


@dataclass(slots=True)
class ForgetJob:
    """The job is over for this agent: contexts, blobs, followers of it may go."""

    scheduler: str
    job: int


@dataclass(slots=True)
class FollowTask:
    """Start or stop sending `Output` of a task to a scheduler (id 0 = all tasks of the job)."""

    scheduler: str
    job: int
    id: int
    on: bool


@dataclass(slots=True)
class Leave:
    """Drained, nothing runs, nothing is unrecorded: the process may end."""


# ---------------------------------------------------------------- actions of the scheduler's core


@dataclass(slots=True)
class Record:
    """These attempts are the outcomes of their tasks: make it durable (in memory: nothing to do).

    The service finds their reports in the `Finished` it is just handling; states without a report
    (CANCELLED while pending, LOST) have none. Without ids it is a barrier and nothing else: what
    stands behind it waits for all that was recorded before.
    """

    job: int
    term: int
    ids: list[int]
    ns: list[int]
    states: list[int]
    agent: str


@dataclass(slots=True)
class RecordAttempts:
    """Attempts that ended and did not become the outcome (they are tried again). A barrier as
    well.
    """

    job: int
    term: int
    ids: list[int]
    ns: list[int]
    states: list[int]
    agent: str


@dataclass(slots=True)
class RecordJob:
    """The job's state changed. A barrier as well. `reason` is for people."""

    job: int
    state: str
    reason: str = ""


@dataclass(slots=True)
class Resolve:
    """Tell the client: these tasks have their outcomes. Comes behind their `Record`."""

    job: int
    ids: list[int]
    states: list[int]


@dataclass(slots=True)
class JobEnded:
    """Tell the client: the job reached this final state."""

    job: int
    state: str


@dataclass(slots=True)
class AgentChanged:
    """For `status` and the job's event log: an agent is ready, unreachable, lost or left."""

    agent: str
    state: str
    reason: str = ""


Barrier = Record | RecordAttempts | RecordJob
Action = (
    Send
    | Start
    | Kill
    | Strike
    | DropPayloads
    | DropReports
    | ForgetJob
    | FollowTask
    | Leave
    | Record
    | RecordAttempts
    | RecordJob
    | Resolve
    | JobEnded
    | AgentChanged
    | Confirm
)
