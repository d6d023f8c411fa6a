"""What the readers of inventory files hand on: machines as named, where, and what is wrong. Pure.

A reader never stops at the first bad line: it adds a `Problem` and goes on, so that a person sees
all of them at once.
"""

from dataclasses import dataclass, field

from covey.errors import InventoryError
from covey.fleet.fields import Value

#: A machine list names at most this many machines: a range such as lab[1:99999999] is a slip.
MACHINES_MAX = 10_000
#: A longer line or word is no machine; it would only slow its readers down.
LINE_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written."""

    #: `hosts.txt`, `COVEY_HOSTS`, `the command line`.
    source: str
    #: Line of a file, from 1; 0 = the source as a whole.
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(frozen=True, slots=True)
class Problem:
    """A sentence about a place: what is wrong there, or (as a note) worth knowing."""

    place: Place
    reason: str

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


@dataclass(slots=True)
class Entry:
    """A machine as one line names it, before defaults are filled in."""

    place: Place
    name: str
    #: Keys are those of `covey.fleet.fields.FIELDS`; only what was said.
    fields: dict[str, Value] = field(default_factory=dict[str, Value])
    #: Like `fields`, but said of a group: loses against what is said of the machine elsewhere.
    of_groups: dict[str, Value] = field(default_factory=dict[str, Value])
    labels: tuple[str, ...] = ()
    #: Its address if no field says one: what an inventory calls it.
    fallback: str = ""

    @property
    def key(self) -> str:
        """Equal for lines of one file that are about the same machine."""
        return f"{self.name} {self.fallback}"


@dataclass(slots=True)
class Variable:
    """A variable of an inventory and where it was written."""

    value: object
    place: Place


@dataclass(slots=True)
class Listing:
    """What one source says."""

    entries: list[Entry] = field(default_factory=list[Entry])
    problems: list[Problem] = field(default_factory=list[Problem])
    notes: list[Problem] = field(default_factory=list[Problem])
    #: Group, machine -> what files beside an Ansible inventory say of it.
    group_variables: dict[str, dict[str, Variable]] = field(default_factory=dict)
    machine_variables: dict[str, dict[str, Variable]] = field(default_factory=dict)

    def bad(self, place: Place, reason: str) -> None:
        """Something there cannot be used."""
        self.problems.append(Problem(place, reason))

    def note(self, place: Place, reason: str) -> None:
        """Something there is worth a sentence."""
        self.notes.append(Problem(place, reason))

    def extend(self, other: "Listing") -> None:
        """Add all that another source says."""
        self.entries += other.entries
        self.problems += other.problems
        self.notes += other.notes


def problems_error(listing: Listing) -> InventoryError:
    """The error that says the first problem, how many more there are, and holds them all."""
    sources = list(dict.fromkeys(one.place.source for one in listing.problems))
    problems = tuple(
        sorted(listing.problems, key=lambda one: (sources.index(one.place.source), one.place.line))
    )
    first = problems[0]
    # What to type shows all of them; of the command line there is nothing to check again.
    check = f"covey hosts check {first.place.source}" if first.place.line else "covey hosts check"
    also = f" ({len(problems) - 1} more: {check})" if len(problems) > 1 else ""
    return InventoryError(f"{first}{also}", problems=problems)
