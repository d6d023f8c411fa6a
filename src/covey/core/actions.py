"""What a core may ask of its service. Only values; `core.events` has what it may be told.

A core is driven so:  `for action in core.handle(event, now): service.perform(action)`, and with a
`Tick` when `now` (monotonic seconds) reaches `core.wake_at` (None = nothing to wake for). Actions
are performed in order; `Record` is a barrier: whatever stands behind it in the list is performed
only when it is durable. All barriers of a list go to the ledger at once, in order (later lists
would overtake one that waits); no `Send` stands behind one. A batch is parallel lists, not objects.
"""

from dataclasses import dataclass

from covey.core.events import Confirm
from covey.model.job import Shape
from covey.wire.messages import Frame

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
    #: Of a traced shape: when its reservation was queued and claimed (0.0 = bound early), and when
    #: it was granted; monotonic seconds.
    stamps: tuple[float, float, float] | None = None


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
