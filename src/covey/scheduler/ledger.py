"""The ledger's writer: one thread owns the only connection that writes.

The event loop hands it records together with what may only happen behind them, and never waits
for a disk. What gathered during the last commit is the next group: one transaction, one fsync (two
when large output went to segments). A group that cannot be written stays, is tried again, and
says so.
"""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from covey.errors import CoveyError, InternalError, LedgerCorrupt, LedgerError
from covey.scheduler.opening import connect_writer, explained, keep_aside
from covey.scheduler.records import (
    Attempts,
    Event,
    Items,
    JobSealed,
    JobStateChanged,
    NewJob,
    Op,
    Outcomes,
    Perform,
    RaiseTerm,
    rows_of,
)
from covey.scheduler.schema import PAGE_BYTES
from covey.scheduler.segments import SegmentWriter
from covey.scheduler.writing import RowWriter
from covey.settings import ANSWER_TIMEOUT_S

__all__ = [
    "Attempts",
    "Event",
    "Items",
    "JobSealed",
    "JobStateChanged",
    "Ledger",
    "NewJob",
    "Op",
    "Outcomes",
]

#: Rows of one transaction: longer groups would make the first record of one wait.
GROUP_ROWS_MAX = 2000
#: More rows waiting than this and `is_behind`: the service takes nothing more in.
BACKLOG_ROWS_MAX = 100_000
#: A group that could not be written is tried again after this long.
RETRY_S = 1.0
#: The journal is copied into the file when it has about this many new bytes …
CHECKPOINT_BYTES = 16 * 1024 * 1024
#: … or nothing was written for this long; and it is cut when a reader made it grow over this.
CHECKPOINT_IDLE_S = 1.0
JOURNAL_MAX_BYTES = 256 * 1024 * 1024
#: Longest time that `close` gives to what is still waiting.
CLOSE_TIMEOUT_S = 60.0
#: Commits whose duration is remembered, for `doctor`.
COMMIT_TIMES_KEPT = 1024

_Entry = tuple[list[Op], Perform | None]


class Ledger:
    """Records what must not be forgotten. `write` from any thread; `close` once."""

    #: Where a damaged file was put that stood in the way; None = there was none.
    kept_as: Path | None = None

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        post: Callable[[Perform], object],
        on_error: Callable[[CoveyError | None], None] | None,
    ) -> None:
        """Use `open`."""
        self.path = path
        #: Why nothing can be written at the moment.
        self.failing: CoveyError | None = None
        #: Seconds that the last commits took.
        self.commit_times_s: deque[float] = deque(maxlen=COMMIT_TIMES_KEPT)
        self._db = db
        self._post = post
        self._on_error = on_error
        self._segments = SegmentWriter(path.parent)
        self._rows = RowWriter(db, self._segments)
        self._has_work = threading.Condition()
        self._queue: deque[_Entry] = deque()
        self._queued_rows = 0
        self._is_closing = False
        self._is_over = False
        self._journal_bytes = 0
        self._thread = threading.Thread(target=self._run, name="covey-ledger", daemon=True)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        post: Callable[[Perform], object],
        on_error: Callable[[CoveyError | None], None] | None = None,
    ) -> "Ledger":
        """Open or create the ledger and start its thread.

        post: brings a call to the thread where actions are performed (`loop.call_soon_threadsafe`).
        on_error: told (through `post`) why records wait, and None when they go through again. A
        damaged file is put aside (`kept_as`) and a new ledger begun.

        Raises:
            LedgerVersion: it was written by a newer covey.
            DiskFull: there is no room.
            LedgerError: it cannot be written.
        """
        kept = None
        try:
            db = connect_writer(path)
        except LedgerCorrupt:
            kept = keep_aside(path)
            db = connect_writer(path)
        ledger = cls(path, db, post, on_error)
        ledger.kept_as = kept
        ledger._thread.start()
        return ledger

    @property
    def is_behind(self) -> bool:
        """So much waits that the service should take nothing more in until it is less."""
        return self._queued_rows > BACKLOG_ROWS_MAX

    @property
    def refused(self) -> int:
        """Outcomes that were dropped because their tasks had one."""
        return self._rows.refused

    def seq_of(self, job: int) -> int:
        """The last seq recorded for the job since this ledger was opened; 0 = none."""
        return self._rows.last_seqs.get(job, 0)

    def write(self, ops: list[Op], then: Perform | None = None) -> None:
        """Record `ops` in one transaction; `then` is posted when they are durable. Never blocks.

        An op may have more rows than a group; it is not split.

        Raises:
            LedgerError: the ledger is closed, or failed for good.
        """
        rows = sum(map(rows_of, ops))
        with self._has_work:
            if self._is_closing or self._is_over:
                raise self.failing or LedgerError(f"{self.path} is closed", path=str(self.path))
            self._queue.append((ops, then))
            self._queued_rows += rows
            self._has_work.notify()

    def raise_term(self) -> int:
        """Begin a new term, durably: any attempt of it is newer than all before.

        Blocks for one commit.

        Raises:
            LedgerError: it cannot be written.
        """
        op = RaiseTerm()
        self.write([op])
        if not op.done.wait(ANSWER_TIMEOUT_S):
            raise self.failing or LedgerError(f"{self.path}: the disk does not answer")
        return op.term

    def close(self) -> None:
        """Write what waits, copy the journal into the file, and end the thread.

        Raises:
            LedgerError: something could not be written.
        """
        with self._has_work:
            self._is_closing = True
            self._has_work.notify()
        self._thread.join(CLOSE_TIMEOUT_S)
        if self.failing:
            raise self.failing
        if self._thread.is_alive():
            raise LedgerError(
                f"{self.path}: the disk did not take what waits in {CLOSE_TIMEOUT_S:.0f} s"
            )

    # ------------------------------------------------------------ the thread

    def _run(self) -> None:
        while (group := self._take()) is not None:
            if not group:
                self._checkpoint("PASSIVE")
            elif not self._try(group):
                if self._is_over or self._is_closing:
                    break
                with self._has_work:
                    self._has_work.wait_for(lambda: self._is_closing, RETRY_S)
        self._is_over = True
        self._segments.close()
        with contextlib.suppress(sqlite3.Error):
            if not self.failing:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()

    def _take(self) -> list[_Entry] | None:
        """The next group (left in the queue until it is written), [] when idle, None at the end."""
        with self._has_work:
            if not self._queue and not self._is_closing:
                idle = CHECKPOINT_IDLE_S if self._journal_bytes else None
                self._has_work.wait_for(lambda: self._queue or self._is_closing, idle)
            if not self._queue:
                return None if self._is_closing else []
            group: list[_Entry] = []
            rows = 0
            for entry in self._queue:
                group.append(entry)
                rows += sum(map(rows_of, entry[0]))
                if rows >= GROUP_ROWS_MAX:
                    break
            return group

    def _try(self, group: list[_Entry]) -> bool:
        started = time.perf_counter()
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._rows.write(op for ops, _ in group for op in ops)
            self._db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of the group was written
            self._failed(error)
            return False
        self._rows.committed()
        self.commit_times_s.append(time.perf_counter() - started)
        rows = sum(rows_of(op) for ops, _ in group for op in ops)
        with self._has_work:
            for _ in group:
                self._queue.popleft()
            self._queued_rows -= rows
        if self.failing:
            self.failing = None
            self._tell(None)
        for ops, _ in group:
            for op in ops:
                if isinstance(op, RaiseTerm):
                    op.done.set()
        self._send([then for _, then in group if then])
        # About: the job's row, both ends of the indexes, and rows of some 120 bytes.
        self._journal_bytes += PAGE_BYTES * (4 + rows // 60)
        if self._journal_bytes >= CHECKPOINT_BYTES:
            self._checkpoint("PASSIVE")
        return True

    def _failed(self, error: Exception) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        self._rows.rolled_back()
        if isinstance(error, sqlite3.Error | OSError):
            told: CoveyError = explained(error, self.path)
            self._is_over = not isinstance(error, sqlite3.OperationalError | OSError)
        else:
            told = InternalError(f"the ledger cannot write a record: {error!r}")
            self._is_over = True
        is_news = self.failing is None or str(told) != str(self.failing)
        self.failing = told
        if is_news:
            self._tell(told)

    def _tell(self, error: CoveyError | None) -> None:
        on_error = self._on_error
        if on_error:
            self._send([lambda: on_error(error)])

    def _send(self, calls: list[Perform]) -> None:
        if not calls:
            return

        def perform(calls: list[Perform] = calls) -> None:
            for at, call in enumerate(calls):
                try:
                    call()
                except BaseException:
                    self._send(calls[at + 1 :])
                    raise

        # The loop may be closed already: then nobody waits for these any more.
        with contextlib.suppress(RuntimeError):
            self._post(perform)

    def _checkpoint(self, how: str) -> None:
        """Copy the journal into the file. A failure costs nothing but a longer journal."""
        self._journal_bytes = 0
        with contextlib.suppress(sqlite3.Error, OSError):
            self._db.execute(f"PRAGMA wal_checkpoint({how})").fetchall()
            journal = self.path.with_name(self.path.name + "-wal")
            if how == "PASSIVE" and journal.stat().st_size > JOURNAL_MAX_BYTES:
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
