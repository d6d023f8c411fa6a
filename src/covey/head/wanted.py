"""Which machines an `up` is to bring up: those it names, those that are known."""

from dataclasses import replace

from covey.agent.cpus import default_slots, parse_slots
from covey.client.cluster import ClusterFiles, Machine
from covey.errors import UsageError
from covey.fleet.limit import select
from covey.head import processes
from covey.head.raised import UpOrder


def wanted(
    files: ClusterFiles, order: UpOrder, known: list[Machine], *, was_up: bool
) -> tuple[list[Machine], list[Machine]]:
    """The virtual machines that shall run, and those over ssh, in the groups they shall be in.

    Raises:
        UsageError: neither machines are named nor any known; a name that is one of another kind.
        SettingsError: `slots` is no number of slots.
    """
    local, remote = _local(files, order, known, was_up=was_up), _remote(order, known)
    if not local and not remote:
        raise UsageError("say which machines — for example: covey up lab1 lab2")
    return _grouped(order, local, remote)


def _local(
    files: ClusterFiles, order: UpOrder, known: list[Machine], *, was_up: bool
) -> list[Machine]:
    """The virtual machines that shall run."""
    if order.local is None:
        is_meant = order.is_all or not order.hosts
        return [m for m in known if m.kind == "local" and is_meant]
    local = [machine for machine in known if machine.kind == "local"]
    if not was_up and not any(processes.is_alive(files, m.name) for m in local):
        # What an earlier cluster left behind; this one has a number of its own.
        for machine in local:
            processes.end_agent(files, machine.name)
        local = []
    names = {machine.name for machine in local}
    slots, source = parse_slots(order.slots) if order.slots else default_slots()
    made = [_local_machine(files, n, slots, source) for n in range(1, order.local + 1)]
    return local + [machine for machine in made if machine.name not in names]


def _remote(order: UpOrder, known: list[Machine]) -> list[Machine]:
    """The machines over ssh that shall run."""
    is_all = order.local is None and (order.is_all or not order.hosts)
    named = {host.name for host in order.hosts}
    found = [m for m in known if m.kind == "ssh" and is_all and m.name not in named]
    there = {machine.name: machine for machine in known}
    for host in order.hosts:
        machine = there.get(host.name, Machine(host.name, 0, "", "", "ssh", host))
        if machine.kind != "ssh":
            raise UsageError(
                f"{host.name} is a {machine.kind} machine of this cluster already; give the"
                " one over ssh another name, or use another --cluster"
            )
        found.append(replace(machine, host=host))
    return found


def _grouped(
    order: UpOrder, local: list[Machine], remote: list[Machine]
) -> tuple[list[Machine], list[Machine]]:
    """The same machines in the groups that they shall be in."""
    known = [(machine.name, machine.labels) for machine in (*local, *remote)]
    for group, pattern in order.groups:
        names = select(known, pattern or "all", f"--group {group}=")

        def placed(machine: Machine, group: str = group, names: list[str] = names) -> Machine:
            others = tuple(one for one in machine.groups if one != group)
            groups = (*others, group) if machine.name in names else others
            return replace(machine, groups=groups)

        local, remote = list(map(placed, local)), list(map(placed, remote))
    return local, remote


def _local_machine(files: ClusterFiles, number: int, slots: int, slots_from: str) -> Machine:
    name = f"local{number}"
    return Machine(name, slots, slots_from, str(files.machine_dir(name) / "work"))
