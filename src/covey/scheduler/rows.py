"""What the ledger's readers give: plain values, numbered as people and programs see them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from covey.model.job import JobSpec
from covey.model.pack import unpack
from covey.model.task import OutcomeState

#: First byte of a command's payload: a msgpack list of two, [arguments, standard input].
_COMMAND_PAYLOAD = 0x92


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job and its counts. Times are seconds since the epoch."""

    job: int
    key: str
    name: str
    spec: JobSpec
    #: `model.job.JobState` as it was last recorded; a `running` job that is not `is_live` was
    #: interrupted.
    state: str
    reason: str
    #: Items so far; and how many there will be, None while more may come.
    held: int
    total: int | None
    #: Tasks with an outcome = succeeded + failed + cancelled.
    done: int
    succeeded: int
    failed: int
    cancelled: int
    #: The highest task that was granted (as far as it was recorded).
    high_water: int
    #: The newest term under which an outcome was recorded.
    term: int
    #: `OutcomeRow.seq` of the last outcome; 0 = none yet.
    last_seq: int
    created: float
    ended: float | None
    #: The directory of the private run where the job lives; None: in the ledger of the cluster.
    run: Path | None = None
    #: Its head, or the root process of its private run, is alive.
    is_live: bool = False


class OutcomeRow(NamedTuple):
    """How a task, or one attempt of it, ended. There are many: a tuple is made ten times as fast as
    a frozen dataclass.
    """

    #: Order of recording within the job; rising, with gaps.
    seq: int
    job: int
    #: From 1; `{#}` of `covey map`.
    task: int
    #: 1, 2, 3, … : which start of the task this was.
    attempt: int
    term: int
    n: int
    #: "" where no agent had it (cancelled while pending).
    agent: str
    slot: int
    state: OutcomeState
    exit: int
    signal: int
    #: None where the task did not run, or was not measured.
    started: float | None
    ended: float | None
    cpu_s: float
    rss_bytes: int
    #: What was kept, empty if the page was asked for without output.
    out: bytes
    err: bytes
    value: bytes
    #: How much the task wrote.
    out_size: int
    err_size: int
    #: (type name, text, traceback text) of what a callable raised, or how its process died.
    error: tuple[str, str, str] | None
    error_pickle: bytes
    #: The item as it was submitted.
    payload: bytes

    @property
    def args(self) -> list[bytes]:
        """The arguments of a command's item; [] for a callable."""
        return arguments_of(self.payload)


@dataclass(frozen=True, slots=True)
class EventRow:
    """Something that happened to a job as a whole."""

    seq: int
    job: int
    at: float
    kind: str
    text: str


def arguments_of(payload: bytes) -> list[bytes]:
    """The arguments in a command's payload; [] for a callable's, which only its child may read."""
    if not payload or payload[0] != _COMMAND_PAYLOAD:
        return []
    try:
        args: Any = unpack(payload)[0]
    except (ValueError, IndexError):
        return []
    if not isinstance(args, list):
        return []
    return [arg for arg in cast(list[Any], args) if isinstance(arg, bytes)]
