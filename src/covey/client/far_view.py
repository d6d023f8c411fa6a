"""The ledger of a far head, row by row through its door."""

from collections.abc import Sequence
from pathlib import Path

from covey.client import doorway
from covey.client.far import FarHead
from covey.core.events import Restored
from covey.errors import ConnectFailed, JobRejected
from covey.scheduler.reader import PAGE_ROWS_MAX
from covey.scheduler.rows import EventRow, JobRow, OutcomeRow
from covey.scheduler.view import LedgerView


class FarView(LedgerView):
    """`LedgerView` of a far head. Any thread."""

    def __init__(self, far: FarHead) -> None:
        super().__init__(Path())
        self._far = far

    def jobs(self, *, states: Sequence[str] = ()) -> list[JobRow]:
        """See `LedgerView`."""
        return [doorway.job_from_plain(row) for row in self._far.call("jobs", list(states))]

    def last_job(self) -> int:
        """See `LedgerView`."""
        return int(self._far.call("last_job"))

    def job(self, job: int) -> JobRow:
        """See `LedgerView`."""
        return doorway.job_from_plain(self._far.call("job", job))

    def outcomes(
        self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX, *, with_output: bool = True
    ) -> list[OutcomeRow]:
        """See `LedgerView`."""
        rows = self._far.call("outcomes", job, after_seq, limit, with_output)
        return [doorway.outcome_from_plain(row) for row in rows]

    def attempts(
        self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX, *, with_output: bool = True
    ) -> list[OutcomeRow]:
        """See `LedgerView`."""
        rows = self._far.call("attempts", job, after_seq, limit, with_output)
        return [doorway.outcome_from_plain(row) for row in rows]

    def outcomes_of(self, job: int, ids: Sequence[int]) -> list[OutcomeRow]:
        """See `LedgerView`."""
        rows = self._far.call("outcomes_of", job, list(ids))
        return [doorway.outcome_from_plain(row) for row in rows]

    def output(self, job: int, task: int) -> tuple[bytes, bytes]:
        """See `LedgerView`."""
        out, err = self._far.call("output", job, task)
        return out, err

    def items(
        self, job: int, after: int = 0, limit: int = PAGE_ROWS_MAX
    ) -> list[tuple[int, bytes]]:
        """See `LedgerView`."""
        return [(task, payload) for task, payload in self._far.call("items", job, after, limit)]

    def events(self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX) -> list[EventRow]:
        """See `LedgerView`."""
        rows = self._far.call("events", job, after_seq, limit)
        return [doorway.event_from_plain(row) for row in rows]

    def restore(self, job: int) -> Restored:
        """See `LedgerView`: only who owns the ledger goes on with its jobs."""
        raise JobRejected(f"job {job} is another machine's to go on with", job=job)


class FarRows:
    """What a client follows its job by: while the connection is lost, as it was last seen."""

    def __init__(self, far: FarHead) -> None:
        self._view = FarView(far)
        self._seen: dict[int, JobRow] = {}

    def job(self, job: int) -> JobRow:
        """The job's row."""
        try:
            self._seen[job] = self._view.job(job)
        except ConnectFailed:
            if job not in self._seen:
                raise
        return self._seen[job]

    def outcomes(self, job: int, after_seq: int, limit: int) -> list[OutcomeRow]:
        """The next rows; [] = no more now."""
        try:
            return self._view.outcomes(job, after_seq, limit)
        except ConnectFailed:
            return []

    def close(self) -> None:
        """The connection stays: others use it as well."""
