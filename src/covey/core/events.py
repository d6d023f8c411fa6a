"""What a core may be told by its service. Only values; see `core.actions` for how it is driven."""

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
    """Nobody listens on the peer's subject (the server's 503), or its lifeline broke.

    A scheduler takes an agent for dead then, unless it is a far one (`AgentKnown`).
    """

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
    """There is (or may be) an agent of this name: keep asking it for a session.

    is_far: its link to the bus leads over a network. That it is broken is no proof that the agent
    is dead: only silence counts, and `AgentDied`.
    """

    agent: str
    is_far: bool = False
    #: Of its machine, for `Shape.labels` and `Shape.avoid`; said again when they change.
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class AgentDied:
    """Whoever looked at its machine found that the agent does not run: lost at once."""

    agent: str


@dataclass(slots=True)
class AgentForgotten:
    """The agent was taken down by its owner: lost at once, and asked no more."""

    agent: str


@dataclass(slots=True)
class AgentDraining:
    """A known agent shall finish what it has and be given no more (`on`), or take work again.

    What it was granted and has not started comes back. It still gets pinned tasks that take no
    slot.
    """

    agent: str
    on: bool


@dataclass(slots=True)
class Opened:
    """A new job without tasks. Shapes of the spec are numbered from 1."""

    job: int
    spec: JobSpec


@dataclass(slots=True)
class Restored:
    """A job out of the ledger, at the start of a durable scheduler.

    done: bit i is set where task i has an outcome. starts: task -> starts spent so far. spans:
    (first, shape), ascending: from `first` on, tasks are of that shape; before, of shape 1.
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
    spans: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


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
    | AgentDied
    | AgentForgotten
    | AgentDraining
    | Opened
    | Restored
    | Shaped
    | Added
    | Sealed
    | CancelAsked
    | TailAsked
    | Confirm
)
