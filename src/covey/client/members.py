"""What the files of a cluster say of its machines and processes."""

from dataclasses import dataclass, replace
from typing import Literal

from covey.agent.machine import Answer
from covey.bus.record import start_time
from covey.fleet.host import Host


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster, as it was brought up."""

    name: str
    slots: int
    slots_from: str
    #: Where tasks get their directories.
    directory: str
    #: `local`: a virtual machine here. `ssh`: reached from here. `joined`: it came by its own ssh.
    kind: Literal["local", "ssh", "joined"] = "local"
    #: How it is reached, of an `ssh` machine.
    host: Host | None = None
    #: It finishes what it has and gets no more (`covey drain`).
    is_draining: bool = False
    #: Groups that `up --group` put it into, besides those of its host.
    groups: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The groups that it is in: `--limit @GROUP` takes it, tasks may need one."""
        own = self.host.labels if self.host is not None else ()
        return tuple(dict.fromkeys((*own, *self.groups)))


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process of ours that outlives its starter. The start time tells a reused pid apart."""

    pid: int
    started: int
    #: Of a head: its scheduler's term; of an agent 0.
    term: int = 0
    incarnation: str = ""
    #: Of an agent: the directory that goes with it.
    runtime_dir: str = ""
    #: Of a head: which covey it is.
    version: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return start_time(self.pid) == self.started


@dataclass(frozen=True, slots=True)
class RemoteRecord:
    """An agent on another machine, as it was started last."""

    incarnation: str
    #: Its runtime directory there: where the bus is forwarded to.
    runtime_dir: str
    #: Digest of the archive that it runs from.
    archive: str
    #: The Python there, as a path: what is called with the archive.
    executable: str
    python: str = ""
    platform: str = ""
    slots: int = 0
    is_persistent: bool = False

    def as_found(self, answer: Answer) -> "RemoteRecord":
        """What it is now, of an agent whose machine answers so."""
        return replace(
            self,
            incarnation=answer.incarnation,
            runtime_dir=answer.runtime_dir,
            # It may be of another covey, on another Python, than when it was known here.
            archive=answer.archive,
            python=answer.python or self.python,
            slots=answer.slots,
            is_persistent=answer.is_persistent,
        )


@dataclass(frozen=True, slots=True)
class Trace:
    """A host that has something of ours."""

    host: Host
    #: Its Python and the archive there: with them all is removed.
    executable: str
    archive: str
    #: An agent may still run there: it was not reached when the cluster went down.
    is_running: bool = False
