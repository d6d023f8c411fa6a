"""What a scheduler needs around it: who hears of outcomes, where payloads are, what makes
durable.
"""

from collections.abc import Callable
from typing import Any, Protocol

from covey.core.actions import Record, RecordAttempts, RecordJob
from covey.errors import CoveyError
from covey.model.job import Shape
from covey.wire.messages import Output


class Sink(Protocol):
    """Who wants to know. Called on the loop; must not block and must not raise."""

    def resolved(
        self, job: int, ids: list[int], states: list[int], reports: list[bytes | None]
    ) -> None:
        """These tasks have their (durable) outcomes; a report is None where none came."""
        ...

    def job_ended(self, job: int, state: str) -> None:
        """The job reached a final state."""
        ...

    def agent_changed(self, agent: str, state: str, reason: str) -> None:
        """An agent became ready, unreachable, lost or left."""
        ...

    def output(self, message: Output) -> None:
        """A followed task wrote something."""
        ...

    def failed(self, error: CoveyError) -> None:
        """The scheduler cannot go on (its ledger refuses to write, or there is a bug)."""
        ...


class Payloads(Protocol):
    """Where the bytes of tasks and contexts come from."""

    def take(self, job: int, ids: list[int]) -> list[bytes]:
        """The payloads of these tasks, to be sent with a grant; they may be asked for again."""
        ...

    def read(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """A piece of a blob: (size of the whole, bytes); None when it is not here."""
        ...


class Recorder(Protocol):
    """Makes records durable (a ledger). `then` runs on the loop when they are."""

    def outcomes(
        self, record: Record, reports: list[bytes | None], then: Callable[[], None]
    ) -> None:
        """Outcomes of tasks."""
        ...

    def attempts(
        self, record: RecordAttempts, reports: list[bytes | None], then: Callable[[], None]
    ) -> None:
        """Attempts that did not become outcomes."""
        ...

    def job_state(self, record: RecordJob, then: Callable[[], None]) -> None:
        """A change of a job's state."""
        ...


class Jobs(Protocol):
    """What clients do with jobs, in a ledger or in memory. `then` hears when it counts."""

    def submit(self, key: str, spec: dict[str, Any], then: Callable[[int], None]) -> int:
        """A new job, or the one that was submitted with this key; `then` gets its number."""
        ...

    def shape(self, job: int, number: int, terms: Shape, then: Callable[[int], None]) -> None:
        """One more shape; the same number again changes nothing."""
        ...

    def add(
        self, job: int, shape: int, first: int, args: list[bytes], then: Callable[[int], None]
    ) -> None:
        """Items `first`, …; `then` gets how many are held."""
        ...

    def seal(self, job: int, total: int, then: Callable[[int], None]) -> None:
        """No more items."""
        ...

    def cancel(self, job: int, ids: list[int]) -> None:
        """Cancel tasks (none = the job)."""
        ...

    def tail(self, job: int, task: int, *, on: bool) -> None:
        """Follow the output of a running task (0 = all)."""
        ...


class Blobs(Protocol):
    """Where clients put contexts and large items."""

    def put_chunk(self, digest: str, offset: int, size: int, data: bytes) -> int:
        """A piece of a blob that arrives in order; returns the bytes held now."""
        ...

    def read_piece(self, digest: str, offset: int, length: int) -> tuple[int, bytes] | None:
        """(size of the blob, a piece of it), or None when it is not here."""
        ...
