"""Brings machines up: agents put onto machines over ssh, virtual machines started here.

    head first (started or adopted) -> each machine by itself, in parallel:
    ssh -> probe -> archive (if it is not there) -> agent -> tunnel (by the head) -> ready

A machine that cannot be brought up delays and fails nobody else; doing it again repairs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from covey.agent import runtime
from covey.agent.cpus import default_slots, parse_slots
from covey.client.client import HeadClient
from covey.client.cluster import ClusterFiles, Machine, files_of
from covey.core.roster import AgentState
from covey.errors import AlreadyUp, CoveyError, UsageError
from covey.fleet.host import Host
from covey.head import processes
from covey.head.lowering import take_down
from covey.head.machines import LOOK_EVERY_S
from covey.scheduler.folding import head_is_up
from covey.scheduler.places import settled
from covey.settings import ANSWER_TIMEOUT_S, Settings

#: Virtual machines that one `up --local` makes at most.
LOCAL_MACHINES_MAX = 256


@dataclass(frozen=True, slots=True)
class UpOrder:
    """What `covey up` was asked for. Neither hosts nor local: repair what is known."""

    hosts: tuple[Host, ...] = ()
    #: Virtual machines on this one.
    local: int | None = None
    #: For machines whose host names none (`--slots`).
    slots: str = ""
    is_persistent: bool = False
    #: Replace agents of another version at once, not one by one after their tasks.
    is_now: bool = False
    #: Take the archive that was used before this one.
    is_rollback: bool = False
    #: False: the archive is sent and nothing started (`--no-start`).
    is_starting: bool = True
    accepts_new_host_keys: bool = False
    #: There is a terminal where ssh can ask.
    is_interactive: bool = False


@dataclass(frozen=True, slots=True)
class Raised:
    """How it went with one machine."""

    name: str
    #: `sent`: the archive only. `failed`: see `error`.
    state: Literal["started", "running", "replaced", "sent", "failed"]
    kind: Literal["local", "ssh", "joined"] = "ssh"
    #: Where ssh goes to, for people.
    login: str = ""
    platform: str = ""
    python: str = ""
    slots: int = 0
    elapsed_s: float = 0.0
    error: CoveyError | None = None


@dataclass(frozen=True, slots=True)
class Up:
    """How it went with all, in the order in which they were named."""

    machines: tuple[Raised, ...]
    #: What the user is to be told ("" = nothing).
    note: str = ""
    #: The head was there already.
    was_up: bool = False


def up(
    settings: Settings, order: UpOrder, on_machine: Callable[[Raised], None] | None = None
) -> Up:
    """Bring up a head and machines. `on_machine` hears of each as it is done.

    Raises:
        AlreadyUp: only virtual machines were asked for, and all of them run.
        UsageError: neither machines are named nor any known.
        CoveyError: the head did not start. What goes wrong on a machine is in its `Raised`.
    """
    if order.local is not None and not 1 <= order.local <= LOCAL_MACHINES_MAX:
        raise UsageError(f"--local {order.local}: give a number from 1 to {LOCAL_MACHINES_MAX}")
    settings, note = settled(settings)
    with processes.alone(settings):
        runtime.sweep()
        return _Raising(settings, files_of(settings), order, on_machine or _ignore, note).run()


def _ignore(_: Raised) -> None:
    """Nobody listens."""


@dataclass(slots=True)
class _Raising:
    settings: Settings
    files: ClusterFiles
    order: UpOrder
    on_machine: Callable[[Raised], None]
    note: str
    was_up: bool = False
    raised: dict[str, Raised] = field(default_factory=dict[str, Raised])

    def run(self) -> Up:
        self.was_up = head_is_up(self.settings.state_dir)
        local = self._plan_local()
        if not self.was_up and not local:
            raise UsageError("say which machines — for example: covey up lab1 lab2")
        dead = [m for m in local if not processes.is_alive(self.files, m.name)]
        if self.was_up and not dead:
            cluster = self.settings.cluster
            raise AlreadyUp(f"cluster {cluster} is up already: see it with: covey status")
        try:
            self._start(local, dead)
        except BaseException:
            if not self.was_up:
                take_down(self.settings)
            raise
        return Up(tuple(self.raised[m.name] for m in local), self.note, self.was_up)

    def _plan_local(self) -> list[Machine]:
        """The virtual machines that shall run; cluster.json names them."""
        order, files = self.order, self.files
        known = [machine for machine in files.machines() if machine.kind == "local"]
        wanted: list[Machine] = []
        if order.local is not None:
            if not self.was_up and not any(processes.is_alive(files, m.name) for m in known):
                # What an earlier cluster left behind; this one has a number of its own.
                for machine in known:
                    processes.end_agent(files, machine.name)
                known = []
            names = {machine.name for machine in known}
            slots, source = parse_slots(order.slots) if order.slots else default_slots()
            made = [_local_machine(files, n, slots, source) for n in range(1, order.local + 1)]
            wanted = [machine for machine in made if machine.name not in names]
        if order.hosts and order.local is None:
            return []
        local = known + wanted
        others = [machine for machine in files.machines() if machine.kind != "local"]
        files.change_machines(lambda _: local + others)
        return local

    def _start(self, local: list[Machine], dead: list[Machine]) -> None:
        began = time.monotonic()
        self.files.make_keys([machine.name for machine in local])
        if not self.was_up:
            told = processes.start_head(self.settings, self.files)
            self.note = "; ".join(filter(None, (self.note, told)))
        else:
            with HeadClient.connect(self.settings) as head:
                head.ask("machines")
        started = processes.start_agents(self.settings, self.files, local)
        self._await_ready({machine.name for machine in dead})
        for machine, one in zip(local, started, strict=True):
            state = "started" if one["started"] else "running"
            elapsed_s = time.monotonic() - began
            raised = Raised(machine.name, state, "local", slots=machine.slots, elapsed_s=elapsed_s)
            self._tell(raised)

    def _await_ready(self, started: set[str]) -> None:
        """Return when the head has met all virtual machines, and those just started work.

        One that does not come in time is not waited for: `covey status` shows it.
        """
        local = {machine.name for machine in self.files.machines() if machine.kind == "local"}
        with HeadClient.connect(self.settings) as head:
            until = time.monotonic() + ANSWER_TIMEOUT_S
            while time.monotonic() < until:
                states = {m["name"]: m["state"] for m in head.ask("status")["machines"]}
                is_met = all(states.get(name) != AgentState.JOINING for name in local)
                if is_met and all(states.get(name) == AgentState.READY for name in started):
                    return
                time.sleep(LOOK_EVERY_S)

    def _tell(self, raised: Raised) -> None:
        self.raised[raised.name] = raised
        self.on_machine(raised)


def _local_machine(files: ClusterFiles, number: int, slots: int, slots_from: str) -> Machine:
    name = f"local{number}"
    return Machine(name, slots, slots_from, str(files.machine_dir(name) / "work"))
