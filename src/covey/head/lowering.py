"""Takes machines down, or the whole cluster: agents, ssh connections, head, bus, keys."""

from collections.abc import Callable
from dataclasses import dataclass

from covey.fleet.host import Host
from covey.settings import Settings


@dataclass(frozen=True, slots=True)
class DownOrder:
    """What `covey down` was asked for."""

    #: Only these machines leave, the cluster stays (None = everything).
    only: tuple[str, ...] | None = None
    #: Machines that the cluster does not know any more but that have something of ours.
    hosts: tuple[Host, ...] = ()
    #: Archives, caches, logs, environments, units too.
    is_purge: bool = False
    #: What was pushed and what tasks left there too.
    is_with_data: bool = False
    #: Kill at once, ask nobody.
    is_now: bool = False


@dataclass(frozen=True, slots=True)
class Lowered:
    """How it went with one machine."""

    name: str
    is_stopped: bool
    #: Why it was not, and what to do.
    why: str = ""


@dataclass(frozen=True, slots=True)
class Down:
    """How it went with all."""

    was_up: bool
    machines: tuple[Lowered, ...]


def down(
    settings: Settings, order: DownOrder, on_machine: Callable[[Lowered], None] | None = None
) -> Down:
    """Take machines or the cluster down. The ledger stays. `on_machine` hears of each.

    Raises:
        StateInUse: an `up` or `down` is under way and does not end.
    """
    raise NotImplementedError
