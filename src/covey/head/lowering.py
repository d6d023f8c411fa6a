"""Takes machines down, or the whole cluster: agents, ssh connections, head, bus, keys."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from covey.client.cluster import files_of
from covey.fleet.host import Host
from covey.head import processes
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
    if not settings.state_dir.is_dir():
        return Down(was_up=False, machines=())
    with processes.alone(settings):
        result = take_down(settings, is_now=order.is_now)
    for machine in result.machines:
        if on_machine is not None:
            on_machine(machine)
    return result


def take_down(settings: Settings, *, is_now: bool = False) -> Down:
    """The whole cluster, by whoever holds the lock (`processes.alone`)."""
    files = files_of(settings)
    was_up = processes.stop_head(settings, files, is_now=is_now)
    names = [machine.name for machine in files.machines()]

    def end(name: str) -> Lowered:
        processes.end_agent(files, name)
        return Lowered(name, is_stopped=True)

    with ThreadPoolExecutor(processes.STARTS_AT_ONCE) as pool:
        machines = tuple(pool.map(end, names))
    processes.stop_bus(settings, files)
    files.forget()
    return Down(was_up or bool(names), machines)
