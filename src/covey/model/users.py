"""Who may ask for what: the weights and priorities of users ([users] in covey.toml). Pure.

The names are taken at their word: whoever may submit jobs may give any of them. They share a
cluster out among people who mean each other well, they do not keep anybody out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from covey.errors import JobRejected

#: Priorities are whole numbers in this range: enough for anybody, and a slip is noticed.
PRIORITY_MIN = -1000
PRIORITY_MAX = 1000
#: Stands in [users] for everybody who is not named there.
OTHERS = "*"


@dataclass(frozen=True, slots=True)
class User:
    """What one user may ask for."""

    #: Share of slot time against other users who want some at the same time.
    weight: float = 1.0
    #: Lowest and highest priority of its jobs.
    priorities: tuple[int, int] = (PRIORITY_MIN, PRIORITY_MAX)


#: Who is not named where others are: like everybody else, and before nobody.
UNNAMED = User(priorities=(PRIORITY_MIN, 0))


@dataclass(frozen=True, slots=True)
class Users:
    """The users of a cluster. None is named: everybody may ask for everything."""

    known: Mapping[str, User] = field(default_factory=dict[str, User])

    def of(self, name: str) -> User:
        """What the user of this name may ask for."""
        if not self.known:
            return User()
        return self.known.get(name) or self.known.get(OTHERS, UNNAMED)

    def priority(self, name: str, asked: int) -> int:
        """The priority of a job for which `asked` was asked. 0, the default, stands for the
        nearest one that is allowed.

        Raises:
            JobRejected: it is not allowed.
        """
        lowest, highest = self.of(name).priorities
        if lowest <= asked <= highest:
            return asked
        if asked == 0:
            return lowest if lowest > 0 else highest
        raise JobRejected(
            f"priority {asked} is not allowed to user {name or '(no name)'}:"
            f" {_range(lowest, highest)}, see [users] of covey.toml",
            reason="priority",
        )

    def to_wire(self) -> dict[str, Any]:
        """As JSON keeps it."""
        return {
            name: {"weight": user.weight, "priorities": list(user.priorities)}
            for name, user in self.known.items()
        }

    @classmethod
    def from_wire(cls, plain: Mapping[str, Any]) -> "Users":
        """Back from `to_wire`."""
        return cls(
            {
                name: User(float(one["weight"]), (one["priorities"][0], one["priorities"][1]))
                for name, one in plain.items()
            }
        )


def _range(lowest: int, highest: int) -> str:
    if lowest == PRIORITY_MIN:
        return f"it may use at most {highest}"
    return f"it may use {lowest} to {highest}" if lowest != highest else f"it has {lowest}"
