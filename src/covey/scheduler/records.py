"""What the ledger can be told."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from covey.model.phases import Phases
from covey.model.report import Report


@dataclass(slots=True)
class NewJob:
    """A job without tasks. Told twice, it is the same job."""

    job: int
    #: Made by the client: the same key is the same job.
    key: str
    #: `pack(spec_to_wire(JobSpec))`.
    spec: bytes
    state: str
    #: Seconds since the epoch.
    created: float
    #: For selection by name without unpacking the spec.
    name: str = ""


@dataclass(slots=True)
class Items:
    """Payloads of the tasks `first`, `first`+1, …; told twice, they are the same tasks."""

    job: int
    first: int
    args: list[bytes]


@dataclass(slots=True)
class NewShape:
    """One more shape of a job; told twice, it is the same. body: `pack(shape_to_wire(Shape))`."""

    job: int
    shape: int
    body: bytes


@dataclass(slots=True)
class ShapeFrom:
    """From the item `first` on, items are of this shape (without any: of shape 1)."""

    job: int
    first: int
    shape: int


@dataclass(slots=True)
class JobSealed:
    """The job will have `total` tasks."""

    job: int
    total: int


@dataclass(slots=True)
class JobStateChanged:
    """The job is in `state` since `at`. `reason` is for people."""

    job: int
    state: str
    reason: str
    at: float


@dataclass(slots=True)
class Outcomes:
    """These attempts are the outcomes of their tasks; refused where a task has one already.

    reports: one per task, None where none exists (cancelled while pending, lost). high_water: the
    highest task that was ever granted, where the scheduler knows it; else the highest of `ids`.
    """

    job: int
    term: int
    ids: list[int]
    ns: list[int]
    states: Sequence[int]
    agent: str
    reports: Sequence[Report | None]
    at: float
    high_water: int = 0


@dataclass(slots=True)
class Attempts:
    """These attempts ended and did not become outcomes."""

    job: int
    term: int
    ids: list[int]
    ns: list[int]
    states: Sequence[int]
    agent: str
    reports: Sequence[Report | None]
    at: float


@dataclass(slots=True)
class PhaseTimes:
    """When the steps of tasks of a traced job were: (task, phases)."""

    job: int
    tasks: list[tuple[int, Phases]]


@dataclass(slots=True)
class Event:
    """Something happened to the job as a whole; for people."""

    job: int
    at: float
    kind: str
    text: str


@dataclass(slots=True)
class RaiseTerm:
    """A scheduler begins: its term is one more than any before."""

    term: int = 0
    #: Set when `term` is durable.
    done: threading.Event = field(default_factory=threading.Event)


Op = (
    NewJob
    | NewShape
    | ShapeFrom
    | Items
    | JobSealed
    | JobStateChanged
    | Outcomes
    | Attempts
    | PhaseTimes
    | Event
    | RaiseTerm
)
#: What happens behind a record.
Perform = Callable[[], None]


def rows_of(op: Op) -> int:
    """How many rows an op writes, for the limit of a group."""
    if isinstance(op, Outcomes | Attempts):
        return len(op.ids)
    if isinstance(op, PhaseTimes):
        return len(op.tasks)
    return len(op.args) if isinstance(op, Items) else 1
