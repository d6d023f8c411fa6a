"""When the steps of a task were: what `covey trace` shows of a job that was traced.

    scheduler  arrived ─ reserved ──────────────────── granted ─────────────────────── recorded
    agent                    queued ─ claimed ─────────── received ─ started ─ ended

An agent puts its stamps before the report of a task, the scheduler takes them off again and adds
its own; only jobs that ask for it are stamped. Times are seconds since the epoch by the clock of
whoever took them; 0.0 = there was no such step (a task that was bound early was never claimed).
"""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

#: First byte of a report behind the stamps of its agent (`model.report` has the others).
STAMPS_TAG = b"P"
_STAMPS = struct.Struct("<5d")
_HEAD_BYTES = 1 + _STAMPS.size
#: First byte of a report behind the phases of its task, from a shared scheduler to its client.
PHASES_TAG = b"Q"
#: All steps, and how many bytes of the agent's name follow.
_PHASES = struct.Struct("<9dB")

#: What an agent stamps: queued, claimed, received, started, ended.
Stamps = tuple[float, float, float, float, float]


@dataclass(slots=True)
class Phases:
    """The steps of one task, in their order."""

    #: The scheduler: it was added to its job; the reservation that it came by was sent, or (bound
    #: early) its grant.
    arrived: float = 0.0
    reserved: float = 0.0
    #: The agent: the reservation, or the task, came into its queue; it was claimed.
    queued: float = 0.0
    claimed: float = 0.0
    #: The scheduler: it was granted.
    granted: float = 0.0
    #: The agent: the grant came; the task was put into a slot; it ended.
    received: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    #: The scheduler: its outcome was taken to be written, or told to the client.
    recorded: float = 0.0
    agent: str = ""

    def at_agent(self, stamps: Stamps) -> None:
        """Take over what the agent stamped."""
        self.queued, self.claimed, self.received, self.started, self.ended = stamps

    def shifted(self, offset_s: float) -> "Phases":
        """With the agent's times as its scheduler's clock would have shown them.

        offset_s: how far the agent's clock is ahead.
        """
        moved = {name: at - offset_s for name in AT_AGENT if (at := getattr(self, name))}
        return replace(self, **moved)


#: The steps in their order, and those of them that an agent stamps.
STEPS = tuple(field.name for field in fields(Phases) if field.name != "agent")
AT_AGENT = ("queued", "claimed", "received", "started", "ended")

#: Parts of a task's time: name -> (first step, last step). A part whose steps were stamped by two
#: clocks is shown less their offset.
PARTS: dict[str, tuple[str, str]] = {
    "reserve": ("arrived", "queued"),
    "queue": ("queued", "claimed"),
    "get task": ("claimed", "received"),
    "launch": ("received", "started"),
    "service": ("started", "ended"),
    "record": ("ended", "recorded"),
    "wait": ("arrived", "started"),
    "response": ("arrived", "recorded"),
}

#: Our step -> the event of the original Sparrow's log (its `AuditLogger`), for its users.
SPARROW_EVENTS = {
    "arrived": "arrived",
    "reserved": "scheduler_launch_enqueue_task",
    "queued": "reservation_enqueued",
    "claimed": "node_monitor_get_task_launch",
    "granted": "scheduler_assigned_task",
    "received": "node_monitor_get_task_complete",
    "started": "node_monitor_task_launch",
    "ended": "task_completed",
    "recorded": "scheduler_frontend_message",
}


def stamped(report: bytes, stamps: Stamps) -> bytes:
    """A report behind the stamps of its agent; that of a task that never started stays empty."""
    return STAMPS_TAG + _STAMPS.pack(*stamps) + report if report else report


def unstamped(report: bytes) -> tuple[bytes, Stamps | None]:
    """A report as its child made it, and the stamps that stood before it."""
    if report[:1] != STAMPS_TAG or len(report) < _HEAD_BYTES:
        return report, None
    return report[_HEAD_BYTES:], _STAMPS.unpack_from(report, 1)


def phased(report: bytes, phases: Phases) -> bytes:
    """A report behind the phases of its task."""
    agent = phases.agent.encode()
    times = (getattr(phases, step) for step in STEPS)
    return b"".join((PHASES_TAG, _PHASES.pack(*times, len(agent)), agent, report))


def unphased(report: bytes) -> tuple[bytes, Phases | None]:
    """A report as its child made it, and the phases that stood before it."""
    at = 1 + _PHASES.size
    if report[:1] != PHASES_TAG or len(report) < at:
        return report, None
    *times, length = _PHASES.unpack_from(report, 1)
    agent = report[at : at + length].decode(errors="replace")
    return report[at + length :], Phases(**dict(zip(STEPS, times, strict=True)), agent=agent)


def part_s(phases: Phases, part: str) -> float | None:
    """Seconds that a part took; None = one of its steps is not known.

    A task that was bound early waits from its coming to the agent until it is started: that is its
    queue, and it has no launch.
    """
    first, last = PARTS[part]
    if not phases.claimed and phases.queued:
        if part == "queue":
            last = "started"
        elif part == "launch":
            return None
    begin, end = getattr(phases, first), getattr(phases, last)
    # A slot may have asked before there was a task for it.
    return end - max(begin, phases.arrived) if begin and end else None


@dataclass(frozen=True, slots=True)
class Offset:
    """How far the clock of an agent is ahead of its scheduler's, and how well that is known."""

    ahead_s: float
    #: It lies within `ahead_s` ± this; infinite = nothing is known.
    error_s: float


def offset_of(tasks: Iterable[Phases]) -> Offset:
    """The offset of one agent's clock, out of the messages of its tasks.

    A grant cannot come before it was sent, and no outcome be recorded before its task ended: each
    message bounds the offset from one side, the quickest ones do best. Clocks that may agree by
    these bounds are taken to agree.
    """
    most, least = float("inf"), float("-inf")
    for task in tasks:
        if task.granted and task.received:
            most = min(most, task.received - task.granted)
        if task.ended and task.recorded:
            least = max(least, task.ended - task.recorded)
    if most == float("inf") or least == float("-inf"):
        return Offset(0.0, float("inf"))
    middle, half = (most + least) / 2, abs(most - least) / 2
    return Offset(0.0, half) if abs(middle) <= half else Offset(middle, half)


def aligned(tasks: Sequence[Phases]) -> tuple[list[Phases], dict[str, Offset]]:
    """All tasks by the clock of the scheduler, and the offsets that were found, by agent."""
    by_agent: dict[str, list[Phases]] = {}
    for task in tasks:
        by_agent.setdefault(task.agent, []).append(task)
    offsets = {agent: offset_of(its) for agent, its in by_agent.items()}
    return [task.shifted(offsets[task.agent].ahead_s) for task in tasks], offsets
