"""Where the head of a call is: on this machine, by its files, or on another (`--head`), by ssh.

What is needed for a far head is imported when there is one, what reads a ledger when one is read:
who only speaks to the head (`covey up`) needs neither.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from covey.client.address import BusAddress
from covey.client.cluster import files_of
from covey.scheduler.locks import head_is_up
from covey.settings import Settings

if TYPE_CHECKING:
    from covey.client.far import FarHead
    from covey.scheduler.rows import JobRow, OutcomeRow
    from covey.scheduler.view import LedgerView


class HeadRecord(Protocol):
    """What is known of the head's process."""

    @property
    def term(self) -> int:
        """Its scheduler's term."""
        ...

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        ...


class HeadFiles(Protocol):
    """What a client needs to know to speak to a head (`ClusterFiles`, `far.FarHead`)."""

    def head(self) -> HeadRecord | None:
        """The head that runs or ran last."""
        ...

    def schedulers(self) -> Mapping[str, HeadRecord]:
        """The shared schedulers that run or ran there, by name."""
        ...

    def address(self) -> BusAddress:
        """Where the bus is, with our credential."""
        ...

    def space(self, cluster: str) -> str:
        """The name under which the subjects lie."""
        ...

    def submit_key(self) -> bytes:
        """The key that signs requests to the head."""
        ...


class Rows(Protocol):
    """What a client follows its job by."""

    def job(self, job: int) -> "JobRow":
        """The job's row."""
        ...

    def outcomes(self, job: int, after_seq: int, limit: int) -> "list[OutcomeRow]":
        """The next outcomes."""
        ...

    def close(self) -> None:
        """Look no more."""
        ...


def head_files(settings: Settings) -> HeadFiles:
    """Where the head is.

    Raises:
        UsageError: the far head is named wrongly.
    """
    return _far(settings) if settings.head else files_of(settings)


def is_up(settings: Settings) -> bool:
    """Whether a head is there. One that is far is taken to be: who asks it will hear."""
    return bool(settings.head) or head_is_up(settings.state_dir)


def view_of(settings: Settings) -> "LedgerView":
    """All jobs of the cluster."""
    if not settings.head:
        from covey.scheduler.view import LedgerView

        return LedgerView(settings.state_dir)
    from covey.client.far_view import FarView

    return FarView(_far(settings))


def rows_of(settings: Settings) -> Rows:
    """The jobs of its head, for who follows one of them."""
    if not settings.head:
        from covey.scheduler.reader import LedgerReader

        return LedgerReader(settings.state_dir / "ledger.db")
    from covey.client.far_view import FarRows

    return FarRows(_far(settings))


def labels_of(settings: Settings) -> list[tuple[str, tuple[str, ...]]]:
    """(name, labels) of the machines of the cluster."""
    if settings.head:
        return [(name, tuple(labels)) for name, labels in _far(settings).call("machines")]
    machines = files_of(settings).machines()
    return [(one.name, one.labels) for one in machines]


def _far(settings: Settings) -> "FarHead":
    from covey.client.far import far_head

    return far_head(settings)
