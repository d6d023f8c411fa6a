"""All jobs of a cluster as one: those in its ledger, and those of private runs not folded yet.

Works whatever runs or does not, starts nothing, makes nothing, and needs no right to write. Files
are opened for each question, so a fold in between does no harm.
"""

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from covey.core.events import Restored
from covey.errors import CoveyError, JobNotFound
from covey.model.phases import Phases
from covey.scheduler.locks import is_held
from covey.scheduler.reader import PAGE_ROWS_MAX, LedgerReader
from covey.scheduler.rows import EventRow, JobRow, OutcomeRow

#: A job that was not found is looked for again this often: it may be moving just now.
_LOOKS = 3


class LedgerView:
    """The jobs of one state directory. Any thread."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        #: What could not be read when `jobs` was asked last (damaged files of private runs).
        self.problems: list[CoveyError] = []

    def jobs(self, *, states: Sequence[str] = ()) -> list[JobRow]:
        """All jobs, or those in one of `states`, by number.

        Raises:
            LedgerError: the ledger of the cluster cannot be read.
        """
        self.problems = []
        runs: dict[int, JobRow] = {}
        for number in run_numbers(self.state_dir):
            try:
                with _opened(self.state_dir, number) as reader:
                    if reader is not None:
                        found = (self._dated(row) for row in reader.jobs(states=states))
                        runs |= {row.job: row for row in found}
            except CoveyError as error:
                self.problems.append(error)
        # The ledger is read last: what was folded meanwhile is in it, and counts once.
        with _opened(self.state_dir, None) as reader:
            if reader is not None:
                runs |= {row.job: self._dated(row) for row in reader.jobs(states=states)}
        return [runs[number] for number in sorted(runs)]

    def last_job(self) -> int:
        """The highest job number here; 0 = no job."""
        numbers = [0, *run_numbers(self.state_dir)]
        with _opened(self.state_dir, None) as reader:
            return max([*numbers, reader.last_job()] if reader is not None else numbers)

    def job(self, job: int) -> JobRow:
        """One job.

        Raises:
            JobNotFound: there is none of this number.
        """
        with self._reader_of(job) as reader:
            return self._dated(reader.job(job))

    def outcomes(
        self,
        job: int,
        after_seq: int = 0,
        limit: int = PAGE_ROWS_MAX,
        *,
        with_output: bool = True,
    ) -> list[OutcomeRow]:
        """The next outcomes behind `after_seq`, in the order of recording; [] = no more now.

        Raises:
            JobNotFound: there is none of this number.
        """
        with self._reader_of(job) as reader:
            return reader.outcomes(job, after_seq, limit, with_output=with_output)

    def attempts(
        self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX, *, with_output: bool = True
    ) -> list[OutcomeRow]:
        """Attempts that did not become outcomes, in the order of recording; [] = no more now."""
        with self._reader_of(job) as reader:
            return reader.attempts(job, after_seq, limit, with_output=with_output)

    def outcomes_of(self, job: int, ids: Sequence[int]) -> list[OutcomeRow]:
        """The outcomes of these tasks, whole, by number; pending ones are left out."""
        with self._reader_of(job) as reader:
            return reader.outcomes_of(job, ids)

    def output(self, job: int, task: int) -> tuple[bytes, bytes]:
        """What was kept of a task's standard output and error.

        Raises:
            BlobMissing: the task has no outcome.
        """
        with self._reader_of(job) as reader:
            return reader.output(job, task)

    def items(
        self, job: int, after: int = 0, limit: int = PAGE_ROWS_MAX
    ) -> list[tuple[int, bytes]]:
        """(task, payload) of the items behind `after`; [] = no more now."""
        with self._reader_of(job) as reader:
            return reader.items(job, after, limit)

    def events(self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX) -> list[EventRow]:
        """What happened to the job as a whole, oldest first."""
        with self._reader_of(job) as reader:
            return reader.events(job, after_seq, limit)

    def phases(self, job: int) -> list[tuple[int, Phases]]:
        """(task, when its steps were) of a job that was traced, by number; [] = it was not."""
        with self._reader_of(job) as reader:
            return reader.phases(job)

    def restore(self, job: int) -> Restored:
        """All that a durable scheduler needs to go on with the job."""
        with self._reader_of(job) as reader:
            return reader.restore(job)

    def _dated(self, row: JobRow) -> JobRow:
        """The row with what only locks know."""
        lock = row.run / "lock" if row.run else self.state_dir / "head.lock"
        return replace(row, is_live=is_held(lock))

    @contextmanager
    def _reader_of(self, job: int) -> Generator[LedgerReader]:
        for _ in range(_LOOKS):
            for number in (None, job):
                with _opened(self.state_dir, number) as reader:
                    if reader is not None and reader.has(job):
                        yield reader
                        return
        raise JobNotFound(f"there is no job {job}: list them with: covey jobs", job=job)


@contextmanager
def _opened(state_dir: Path, run: int | None) -> Generator[LedgerReader | None]:
    """The ledger of the cluster (run None) or of a private run; None where there is none."""
    directory = state_dir if run is None else runs_dir(state_dir) / str(run)
    try:
        reader = LedgerReader(directory / "ledger.db", run=None if run is None else directory)
    except FileNotFoundError:
        yield None
        return
    try:
        yield reader
    finally:
        reader.close()


def runs_dir(state_dir: Path) -> Path:
    """Where private runs are."""
    return state_dir / "runs"


def run_numbers(state_dir: Path) -> list[int]:
    """The numbers of all private runs that are not folded, ascending."""
    try:
        names = os.listdir(runs_dir(state_dir))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name) for name in names if name.isdigit())
