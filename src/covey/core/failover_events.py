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
    """The scheduler of this launch does not know our job (any more)."""

    launch: int


@dataclass(slots=True)
class Results:
    """Calls that the scheduler of this launch says have ended."""

    launch: int
    ids: list[int]


@dataclass(slots=True)
class Dropped:
    """Nobody wants these calls any more."""

    ids: list[int]


@dataclass(slots=True)
class Decided:
    """What the user said of the calls that were in flight at the end of this launch."""

    launch: int
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
    """Begin a launch: hand these calls to this scheduler, as new ones."""

    name: str
    launch: int
    ids: list[int]


@dataclass(slots=True)
class HandOver:
    """Hand these calls, too, to the scheduler of the launch."""

    ids: list[int]


@dataclass(slots=True)
class Abandon:
    """The launch is past: nothing more is handed over. Should the scheduler live, it may stop."""

    name: str
    launch: int
    why: str


@dataclass(slots=True)
class AskUser:
    """What is to become of these calls? Answered by `Decided`."""

    launch: int
    ids: list[int]


@dataclass(slots=True)
class Deliver:
    """These calls have ended: their futures get what the scheduler said."""

    ids: list[int]


@dataclass(slots=True)
class Withdraw:
    """The scheduler of the launch need not run these calls."""

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
