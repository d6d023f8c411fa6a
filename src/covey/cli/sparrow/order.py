"""What one command line of `covey sparrow` asks for."""

from dataclasses import dataclass
from pathlib import Path

from covey.client.sparrow.draw import Ask

#: Virtual machines, and slots of each, where neither is given and no cluster is up: what the Python
#: replication was tried with.
MACHINES_DEFAULT, SLOTS_DEFAULT = 10, 1


@dataclass(frozen=True, slots=True)
class Order:
    """What one command line asks for."""

    policies: tuple[str, ...]
    ask: Ask
    #: None: the cluster that is up.
    machines: int | None
    slots: int
    schedulers: int
    #: Those of `covey scheduler` that are used instead; () = schedulers of its own.
    scheduler_names: tuple[str, ...]
    work: str
    probe_ratio: float
    has_cancellation: bool
    is_multi_get: bool
    warmup_s: float
    trace_in: Path | None
    trace_out: Path | None
    plot: Path | None
    phases_out: Path | None
    is_compared: bool
