"""The machines of one call: of the cluster, or named by -S and -H and brought up for the call.

What the call brought up it takes down at its end, however it ends: well, by an error, Ctrl-C,
SIGTERM or a closed terminal.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from covey.cli.head import head_of, is_up, limited, not_up
from covey.cli.output import note
from covey.cli.raise_lines import taken_up
from covey.cli.signals import ended_by_signals
from covey.client.cluster import files_of
from covey.errors import FleetError, MachineError, UsageError
from covey.fleet.inventory import read_inventory
from covey.head.lowering import DownOrder, down
from covey.head.raised import Raised, UpOrder
from covey.head.raising import up
from covey.model.agent_state import AgentState
from covey.settings import Settings


@dataclass(frozen=True, slots=True)
class CallMachines:
    """Where a call works."""

    #: () = on every machine of the cluster.
    names: tuple[str, ...] = ()
    #: Machines that did not come up: name -> why.
    failed: dict[str, str] = field(default_factory=dict[str, str])
    #: They are there for this call: nothing of it can go on without it.
    ends_with_call: bool = False

    def check(self) -> None:
        """Some of them are there.

        Raises:
            FleetError: none came up.
        """
        if self.failed and not self.names:
            whys = "; ".join(f"{name}: {why}" for name, why in self.failed.items())
            raise FleetError(
                f"no machine came up: {whys}",
                results={n: MachineError(w, machine=n) for n, w in self.failed.items()},
            )

    def among(self, only: Sequence[str]) -> "CallMachines":
        """Of these machines, those that are in `only`."""
        names = tuple(name for name in self.names or only if name in only)
        failed = {name: why for name, why in self.failed.items() if name in only}
        return replace(self, names=names, failed=failed)


@contextmanager
def machines_of_call(
    settings: Settings,
    sshlogins: Sequence[str],
    hosts_files: Sequence[str],
    limit: str = "",
    *,
    accepts_new_host_keys: bool = False,
) -> Generator[CallMachines]:
    """The machines that -S, -H and --limit mean, up inside.

    Raises:
        NotUp: none is named, and no cluster is up.
        InventoryError, UsageError: what is named makes no sense.
        CoveyError: the head did not start, or none of the machines came up.
    """
    if not (sshlogins or hosts_files):
        if not is_up(settings):
            raise not_up(settings)
        yield CallMachines(tuple(limited(settings, limit)) if limit else ())
        return
    if settings.head:
        raise UsageError(
            f"-S and -H bring machines up from here; the head is on {settings.head}: bring them up"
            f" with covey up --head {settings.head} MACHINE, and choose with --limit"
        )
    hosts = read_inventory(sshlogins, hosts_files).limited(limit).hosts
    names = tuple(host.name for host in hosts)
    was_up = is_up(settings)
    known = {machine.name for machine in files_of(settings).machines()} if was_up else set[str]()
    absent = tuple(host for host in hosts if host.name not in _ready(settings, known))
    if not absent:
        yield CallMachines(names)
        return
    with ended_by_signals():
        try:
            order = UpOrder(hosts=absent, accepts_new_host_keys=accepts_new_host_keys)
            failed = _bring_up(settings, order)
            kept = tuple(name for name in names if name not in failed)
            ours = any(host.name not in known for host in absent)
            yield CallMachines(kept, failed, ends_with_call=ours)
        finally:
            _take_down(settings, known, was_up=was_up)


def _ready(settings: Settings, known: set[str]) -> set[str]:
    if not known:
        return set()
    with head_of(settings) as head:
        machines = head.ask("status")["machines"]
    return {str(one["name"]) for one in machines if one["state"] == AgentState.READY}


def _bring_up(settings: Settings, order: UpOrder) -> dict[str, str]:
    failed: dict[str, str] = {}

    def hear(machine: Raised) -> None:
        if machine.error is not None:
            failed[machine.name] = machine.error.message.removeprefix(f"{machine.name}: ")

    if not up(settings, order, hear).was_up and (left := taken_up(settings)):
        # They have slots before this call does.
        note(f"covey: {left}")
    return failed


def _take_down(settings: Settings, known: set[str], *, was_up: bool) -> None:
    if was_up:
        there = {machine.name for machine in files_of(settings).machines()}
        order = DownOrder(only=tuple(sorted(there - known)))
        done = down(settings, order) if order.only else None
    else:
        done = down(settings, DownOrder())
    for machine in done.machines if done is not None else ():
        if not machine.is_stopped:
            note(f"covey: {machine.name} was not taken down: {machine.why}")
