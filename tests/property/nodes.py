"""What a simulated process is made of, and what its ledger and its client know."""

import copy
from collections import deque
from dataclasses import dataclass, field, fields, replace
from typing import Any, cast

from tests.invariants import Row

from covey.core.actions import Action, Start
from covey.core.events import Restored
from covey.model.job import JobSpec, JobState, Shape
from covey.model.task import OutcomeState
from covey.wire.messages import Frame, Hello, Message, Welcome

SUCCEEDED = int(OutcomeState.SUCCEEDED)
FAILED = int(OutcomeState.FAILED)
CRASHED = int(OutcomeState.CRASHED)
RETURNED = int(OutcomeState.RETURNED)
CANCELLED = int(OutcomeState.CANCELLED)


@dataclass
class JobRecord:
    """What the ledger and the client of one job know."""

    spec: JobSpec
    held: int = 0
    total: int | None = None
    rows: list[Row] = field(default_factory=list[Row])
    starts: dict[int, int] = field(default_factory=dict[int, int])
    told: dict[int, int] = field(default_factory=dict[int, int])
    state: str = "running"
    high_water: int = 0
    is_over: bool = False
    #: (first task, shape) of what was added, in order.
    spans: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])


@dataclass
class Running:
    """A chunk in a slot of an agent."""

    start: Start
    done: int = 0
    killed: set[int] = field(default_factory=set[int])


@dataclass
class Node:
    """A process: an agent or a scheduler."""

    name: str
    core: Any
    is_agent: bool
    incarnation: str
    term: int = 0
    durable: bool = False
    is_up: bool = True
    is_suspended: bool = False
    is_bus_up: bool = True
    is_cut: bool = False
    running: dict[int, Running] = field(default_factory=dict[int, Running])
    jobs: dict[int, JobRecord] = field(default_factory=dict[int, JobRecord])
    #: Barriers that are not written yet, each with what stands behind it.
    disk: deque[list[Action]] = field(default_factory=deque[list[Action]])


def restored(number: int, record: JobRecord) -> Restored:
    done = bytearray(record.held // 8 + 1)
    states = [row.state for row in record.rows]
    for row in record.rows:
        done[row.task >> 3] |= 1 << (row.task & 7)
    succeeded, cancelled = states.count(SUCCEEDED), states.count(CANCELLED)
    return Restored(
        number,
        record.spec,
        record.held,
        record.total,
        done,
        succeeded,
        len(states) - succeeded - cancelled,
        cancelled,
        record.state == JobState.CANCELLING,
        record.high_water,
        dict(record.starts),
        list(record.spans),
    )


def copied(frame: Frame) -> Frame:
    """A frame as the other side gets it: nothing of it is shared with the sender."""
    message = frame.message
    if isinstance(message, Hello | Welcome):
        copied: Message = copy.deepcopy(message)
    else:
        copied = copy.copy(message)
        for part in fields(message):
            value = getattr(message, part.name)
            if isinstance(value, list):
                setattr(copied, part.name, cast("list[int]", value).copy())
    return Frame(frame.session, frame.seq, frame.ack, copied)


def a_spec(**changes: Any) -> JobSpec:
    """A job of commands with one shape."""
    return replace(JobSpec(shapes=(Shape(),)), **changes)
