"""The actions of one `handle`, in the order in which they may be performed.

What is sent goes first, what is recorded and all that depends on it goes behind: a `Send` behind a
barrier would be overtaken by the frames of later events.
"""

from covey.core.actions import Action


class Outbox:
    """Collects actions until `take`."""

    def __init__(self) -> None:
        self._first: list[Action] = []
        self._behind: list[Action] = []

    def now(self, action: Action) -> None:
        """To be performed at once."""
        self._first.append(action)

    def recorded(self, action: Action) -> None:
        """A barrier, or something that depends on the barriers before it."""
        self._behind.append(action)

    def take(self) -> list[Action]:
        """All of them; the outbox is empty again."""
        actions = self._first
        if self._behind:
            actions += self._behind
            self._behind = []
        self._first = []
        return actions
