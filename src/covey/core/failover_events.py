"""What a FailoverCore may be told, and what it answers. Only values; see `core.failover`."""

from dataclasses import dataclass

# ---------------------------------------------------------------- events


@dataclass(slots=True)
class Submitted:
    """New calls, by their numbers."""

    ids: list[int]


@dataclass(slots=True)
class Heard:
    """A scheduler said something, rightly signed."""

    name: str


@dataclass(slots=True)
class Gone:
    """A scheduler does not run: nobody listens on its subject, or another start of it does."""

    name: str


@dataclass(slots=True)
class Forgot:
    """The scheduler of this epoch does not know our job (any more)."""

    epoch: int


@dataclass(slots=True)
class Results:
    """Calls that the scheduler of this epoch says have ended."""

    epoch: int
    ids: list[int]


@dataclass(slots=True)
class Dropped:
    """Nobody wants these calls any more."""

    ids: list[int]


@dataclass(slots=True)
class Decided:
    """What the user said of the calls that were in flight at the end of this epoch."""

    epoch: int
    is_relaunch: bool


@dataclass(slots=True)
class LinkDown:
    """Our own link to the bus is gone."""


@dataclass(slots=True)
class LinkUp:
    """Our own link to the bus is there again."""


@dataclass(slots=True)
class Look:
    """`now` has reached `wake_at`."""


Event = Submitted | Heard | Gone | Forgot | Results | Dropped | Decided | LinkDown | LinkUp | Look

# ---------------------------------------------------------------- actions


@dataclass(slots=True)
class Probe:
    """Ask this scheduler whether it lives."""

    name: str


@dataclass(slots=True)
class Launch:
    """Begin an epoch: hand these calls to this scheduler, as new ones."""

    name: str
    epoch: int
    ids: list[int]


@dataclass(slots=True)
class HandOver:
    """Hand these calls, too, to the scheduler of the epoch."""

    ids: list[int]


@dataclass(slots=True)
class Abandon:
    """The epoch is over: nothing more is handed over. Should the scheduler live, it may stop."""

    name: str
    epoch: int
    why: str


@dataclass(slots=True)
class AskUser:
    """What is to become of these calls? Answered by `Decided`."""

    epoch: int
    ids: list[int]


@dataclass(slots=True)
class Deliver:
    """These calls have ended: their futures get what the scheduler said."""

    ids: list[int]


@dataclass(slots=True)
class Withdraw:
    """The scheduler of the epoch need not run these calls."""

    ids: list[int]


@dataclass(slots=True)
class Fail:
    """The scheduler of these calls was lost, and they are not run again."""

    ids: list[int]


@dataclass(slots=True)
class Strand:
    """No scheduler is left: these calls fail, and no more can be taken."""

    ids: list[int]


Action = Probe | Launch | HandOver | Abandon | AskUser | Deliver | Withdraw | Fail | Strand
