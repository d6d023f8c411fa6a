"""A job of ours at a shared scheduler: calls are its tasks, outcomes come in their order."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from covey.client.feed import Options
from covey.wire.codec import cut
from covey.wire.messages import Advanced

#: (task, state, report)
Outcome = tuple[int, int, bytes]


@dataclass(slots=True)
class SharedJob:
    """What we know of it. It lives as long as the handover in which it was submitted."""

    number: int
    #: Tasks that it will ever have; 0 = more may come at any time.
    total: int = 0
    #: Tasks handed over.
    held: int = 0
    #: Outcomes that came, and those of them that the scheduler knows of.
    seq: int = 0
    told: int = 0
    #: Of its tasks, as the scheduler says.
    running: int = 0
    shapes: dict[tuple[str, Options], int] = field(default_factory=dict[tuple[str, Options], int])
    #: task -> number of the call.
    calls: dict[int, int] = field(default_factory=dict[int, int])
    #: A large report is on its way; what is said meanwhile is said again.
    is_fetching: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all outcomes came that there will ever be."""
        return 0 < self.total == self.seq

    def number_calls(self, ids: Iterable[int]) -> int:
        """These calls are its next tasks; returns the first task."""
        first = self.held + 1
        for one in ids:
            self.held += 1
            self.calls[self.held] = one
        return first

    def take_back(self, first: int) -> None:
        """The scheduler did not take the tasks from `first` on."""
        for task in range(first, self.held + 1):
            self.calls.pop(task, None)
        self.held = first - 1

    def news(self, message: Advanced) -> list[Outcome]:
        """The outcomes in a message that follow the last one that came; [] = nothing new.

        Raises:
            DecodeError: it makes no sense.
        """
        first = message.seq - len(message.ids)
        if self.is_fetching or not first <= self.seq < message.seq:
            return []
        reports = cut(message.body, message.lens)
        rows = zip(message.ids, message.states, reports, strict=True)
        return list(rows)[self.seq - first :]

    def tasks_of(self, wanted: set[int]) -> list[int]:
        """The tasks of these calls."""
        return [task for task, one in self.calls.items() if one in wanted]
