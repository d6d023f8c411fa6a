"""What `covey up` is asked for, and how it went."""

from dataclasses import dataclass
from typing import Literal

from covey.errors import CoveyError
from covey.fleet.contact import Contact
from covey.fleet.host import Host
from covey.model.users import Users


@dataclass(frozen=True, slots=True)
class UpOrder:
    """What `covey up` was asked for. Neither hosts nor local: repair what is known."""

    hosts: tuple[Host, ...] = ()
    #: And all that the cluster has already, virtual machines too.
    is_all: bool = False
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
    #: (group, pattern): of the machines of this call, those of the pattern ("" = all) are in the
    #: group, and no others.
    groups: tuple[tuple[str, str], ...] = ()
    #: What users may ask for from now on; None = as before.
    users: Users | None = None
    accepts_new_host_keys: bool = False
    #: Who answers the questions of ssh; None: nobody does, and nothing is asked.
    contact: Contact | None = None


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
    #: Agent and tasks have all rights there.
    is_root: bool = False
    error: CoveyError | None = None
    #: What the user should know of it.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Up:
    """How it went with all, in the order in which they were named."""

    machines: tuple[Raised, ...]
    #: What the user is to be told ("" = nothing).
    note: str = ""
    #: The head was there already.
    was_up: bool = False
