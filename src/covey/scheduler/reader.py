"""The ledger for those who only look: any process, at any time, with nothing running.

A reader holds no long transaction: pages end after 10,000 rows, 100 ms or 8 MiB, so that the
writer's journal can be folded back. A page may therefore be shorter than asked; only an empty one
is the end.
"""

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from covey.core.events import Restored
from covey.errors import BlobMissing, DecodeError, JobNotFound, LedgerCorrupt
from covey.model.job import JobSpec, JobState
from covey.model.pack import unpack
from covey.model.phases import STEPS, Phases
from covey.model.task import SPENDS_A_START, OutcomeState
from covey.scheduler.opening import connect_reader, explained
from covey.scheduler.rows import EventRow, JobRow, OutcomeRow
from covey.scheduler.segments import read_segment, ref_of
from covey.wire.codec import shape_from_wire, spec_from_wire

#: Limits of one page, and so of one transaction of a reader.
PAGE_ROWS_MAX = 10_000
PAGE_TIME_MAX_S = 0.1
PAGE_MAX_BYTES = 8 * 1024 * 1024
#: The clock is looked at each so many rows.
_ROWS_PER_LOOK = 128
#: Ids in one query.
_IDS_PER_QUERY = 500

_JOB = """SELECT job.id, key, spec.name, spec.body, state, reason, held, total, done, succeeded,
    failed, cancelled, hwm, term, last_seq - seq_base * (last_seq > 0), created, ended
    FROM job JOIN spec ON spec.job = job.id"""

_SMALL = "o.out, o.err, o.value"
_NONE = "NULL, NULL, NULL"


def _outcome_query(table: str, with_output: bool, where: str, how: str = "") -> str:
    """`how` names the index: in the order of `seq`, else each page would sort the whole job."""
    before = "SELECT count(*) FROM attempt a WHERE a.job = o.job AND a.idx = o.idx"
    if table == "attempt":
        before += " AND (a.term, a.n) < (o.term, o.n)"
    base = "(SELECT seq_base FROM job WHERE id = o.job)" if table == "outcome" else "0"
    return f"""SELECT o.seq - {base}, o.job, o.idx, 1 + ({before}), o.term, o.n, agent.name,
        o.slot, o.state, o.exit, o.signal, o.started, o.ended, o.cpu, o.rss,
        {_SMALL if with_output else _NONE}, o.out_size, o.err_size, o.error, item.arg,
        {"o.ref" if with_output else "NULL"}
        FROM {table} o {how} CROSS JOIN agent ON agent.id = o.agent
        LEFT JOIN item ON item.job = o.job AND item.idx = o.idx
        WHERE {where}"""


class LedgerReader:
    """One ledger file, read only. Any thread may call it; calls wait for each other."""

    def __init__(self, path: Path, *, run: Path | None = None) -> None:
        """Open `path`; `run` = the private run that it belongs to.

        Raises:
            FileNotFoundError: there is no ledger.
            LedgerVersion: a newer covey wrote it.
            LedgerCorrupt: it is damaged.
            LedgerError: it cannot be read.
        """
        self.path = path
        self.run = run
        self._lock = threading.Lock()
        self._db = connect_reader(path)

    def close(self) -> None:
        """Release the file."""
        with self._lock:
            self._db.close()

    def jobs(self, *, states: Sequence[str] = ()) -> list[JobRow]:
        """All jobs, or those in one of `states`, by number."""
        where = f" WHERE state IN ({','.join('?' * len(states))})" if states else ""
        return [
            self._job(row) for row in self._all(f"{_JOB}{where} ORDER BY job.id", tuple(states))
        ]

    def job(self, job: int) -> JobRow:
        """One job.

        Raises:
            JobNotFound: it is not in this ledger.
        """
        found = self._all(f"{_JOB} WHERE job.id = ?", (job,))
        if not found:
            raise JobNotFound(f"there is no job {job}: list them with: covey jobs", job=job)
        return self._job(found[0])

    def has(self, job: int) -> bool:
        """Whether the job is in this ledger."""
        return bool(self._all("SELECT 1 FROM job WHERE id = ?", (job,)))

    def job_of_key(self, key: str) -> int | None:
        """The job that was submitted under `key`."""
        found = self._all("SELECT id FROM job WHERE key = ?", (key,))
        return int(found[0][0]) if found else None

    def last_job(self) -> int:
        """The highest number of a job here; 0 = none."""
        return int(self._all("SELECT ifnull(max(id), 0) FROM job", ())[0][0])

    def outcomes(
        self,
        job: int,
        after_seq: int = 0,
        limit: int = PAGE_ROWS_MAX,
        *,
        with_output: bool = True,
    ) -> list[OutcomeRow]:
        """The next outcomes behind `after_seq`, in the order of recording; [] = no more now."""
        query = _outcome_query(
            "outcome",
            with_output,
            # One lower bound: SQLite seeks to one of two, and walks from there to the other.
            "o.job = ? AND o.seq > (SELECT max(? + seq_base, first_seq - 1) FROM job WHERE id = ?)"
            " AND o.seq <= (SELECT last_seq FROM job WHERE id = ?) ORDER BY o.seq LIMIT ?",
            "NOT INDEXED",
        )
        return self._page(query, (job, after_seq, job, job, min(limit, PAGE_ROWS_MAX)))

    def attempts(
        self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX, *, with_output: bool = True
    ) -> list[OutcomeRow]:
        """Attempts that did not become outcomes, in the order of recording; [] = no more now."""
        where = "o.job = ? AND o.seq > ? ORDER BY o.seq LIMIT ?"
        query = _outcome_query("attempt", with_output, where, "INDEXED BY attempt_of_job")
        return self._page(query, (job, after_seq, min(limit, PAGE_ROWS_MAX)))

    def outcomes_of(self, job: int, ids: Sequence[int]) -> list[OutcomeRow]:
        """The outcomes of these tasks with their output, by number; pending ones are left out.

        Whole, however large: ask for few.
        """
        rows: list[OutcomeRow] = []
        for at in range(0, len(ids), _IDS_PER_QUERY):
            part = sorted(ids)[at : at + _IDS_PER_QUERY]
            where = f"o.job = ? AND o.idx IN ({','.join('?' * len(part))}) ORDER BY o.idx"
            query = _outcome_query("outcome", True, where)
            rows += [self._outcome(row) for row in self._all(query, (job, *part))]
        return rows

    def output(self, job: int, task: int) -> tuple[bytes, bytes]:
        """What was kept of a task's standard output and error.

        Raises:
            BlobMissing: the task has no outcome.
            ChecksumMismatch, FileError: its segment is damaged or gone.
        """
        rows = self.outcomes_of(job, [task])
        if not rows:
            raise BlobMissing(f"task {job}.{task} has not ended: follow: covey logs -f {job}")
        return rows[0].out, rows[0].err

    def items(
        self, job: int, after: int = 0, limit: int = PAGE_ROWS_MAX
    ) -> list[tuple[int, bytes]]:
        """(task, payload) of the items behind `after`; [] = no more now."""
        query = "SELECT idx, arg FROM item WHERE job = ? AND idx > ? ORDER BY idx LIMIT ?"
        with self._lock:
            found = self._some(query, (job, after, min(limit, PAGE_ROWS_MAX)))
        return cast(list[tuple[int, bytes]], found)

    def payload_range(self, job: int, first: int, count: int) -> list[bytes]:
        """The payloads of the tasks `first` … as far as they are there, at most `count`."""
        payloads: list[bytes] = []
        while len(payloads) < count:
            page = self.items(job, first - 1 + len(payloads), count - len(payloads))
            if not page:
                break
            payloads += [payload for _, payload in page]
        return payloads

    def payloads(self, job: int, ids: Sequence[int]) -> list[bytes]:
        """The payloads of these tasks, in that order.

        Raises:
            BlobMissing: one is not here.
        """
        known: dict[int, bytes] = {}
        for at in range(0, len(ids), _IDS_PER_QUERY):
            part = ids[at : at + _IDS_PER_QUERY]
            marks = ",".join("?" * len(part))
            query = f"SELECT idx, arg FROM item WHERE job = ? AND idx IN ({marks})"
            known.update(cast(list[tuple[int, bytes]], self._all(query, (job, *part))))
        if missing := [idx for idx in ids if idx not in known]:
            raise BlobMissing(f"job {job} has no item {missing[0]}")
        return [known[idx] for idx in ids]

    def events(self, job: int, after_seq: int = 0, limit: int = PAGE_ROWS_MAX) -> list[EventRow]:
        """What happened to the job as a whole, oldest first."""
        query = (
            "SELECT seq, job, at, kind, text FROM event WHERE job = ? AND seq > ?"
            " ORDER BY seq LIMIT ?"
        )
        return [EventRow(*row) for row in self._all(query, (job, after_seq, limit))]

    def phases(self, job: int) -> list[tuple[int, Phases]]:
        """(task, when its steps were) of a job that was traced, by number; [] = it was not."""
        steps = ", ".join(STEPS)
        select = f"SELECT idx, {steps}, agent FROM phase WHERE job = ? ORDER BY idx"
        found = self._all(select, (job,))
        return [(task, Phases(*rest)) for task, *rest in found]

    def restore(self, job: int) -> Restored:
        """All that a durable scheduler needs to go on with the job.

        Raises:
            JobNotFound: it is not here.
        """
        row = self.job(job)
        done = bytearray((max(row.held, row.high_water) >> 3) + 1)
        for (idx,) in self._each("SELECT idx FROM outcome WHERE job = ?", (job,)):
            done[idx >> 3] |= 1 << (idx & 7)
        spent = ",".join(str(int(state)) for state in sorted(SPENDS_A_START))
        starts = self._all(
            f"SELECT idx, count(*) FROM attempt WHERE job = ? AND state IN ({spent}) GROUP BY idx",
            (job,),
        )
        added = self._all("SELECT body FROM shape WHERE job = ? ORDER BY number", (job,))
        spans = self._all("SELECT first, shape FROM span WHERE job = ? ORDER BY first", (job,))
        shapes = (*row.spec.shapes, *(shape_from_wire(unpack(body)) for (body,) in added))
        return Restored(
            job=job,
            spec=replace(row.spec, shapes=shapes),
            held=row.held,
            total=row.total,
            done=done,
            succeeded=row.succeeded,
            failed=row.failed,
            cancelled=row.cancelled,
            is_cancelling=row.state == JobState.CANCELLING,
            high_water=row.high_water,
            starts={int(idx): int(count) for idx, count in starts},
            spans=[(int(first), int(shape)) for first, shape in spans],
        )

    # ------------------------------------------------------------ rows

    def _job(self, row: tuple[Any, ...]) -> JobRow:
        job, key, name, body, *rest = row
        return JobRow(job, key, name, _spec(self.path, job, body), *rest, run=self.run)

    def _outcome(self, row: tuple[Any, ...]) -> OutcomeRow:
        *head, out, err, value, out_size, err_size, error, payload, ref = row
        job = head[1]
        if ref is not None:
            out, err, value = read_segment(self._places(job), job, ref_of(ref))
        told: Any = unpack(error) if error else (None, b"")
        slot, state, exit_status, signal, started, ended, cpu, rss = head[7:]
        seq, _, idx, attempt, term, n, agent = head[:7]
        return OutcomeRow(
            seq, job, idx, attempt, term, n, agent, slot or 0, OutcomeState(state),
            exit_status or 0, signal or 0, started, ended, cpu or 0.0, rss or 0,
            out or b"", err or b"", value or b"", out_size or 0, err_size or 0,
            tuple(told[0]) if told[0] else None, told[1], payload or b"",
        )  # fmt: skip

    def _places(self, job: int) -> list[Path]:
        """Where segments may be: a fold moves those of a private run from one to the other."""
        here = self.path.parent
        if self.run is not None:
            return [here, here.parent.parent]
        return [here, here / "runs" / str(job)]

    # ------------------------------------------------------------ queries

    def _page(self, query: str, values: tuple[Any, ...]) -> list[OutcomeRow]:
        with self._lock:
            found = self._some(query, values)
        rows: list[OutcomeRow] = []
        size = 0
        for raw in found:
            row = self._outcome(raw)
            rows.append(row)
            size += len(row.out) + len(row.err) + len(row.value)
            if size > PAGE_MAX_BYTES:
                break
        return rows

    def _some(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Rows until a limit of a page is reached; at least one if there is one."""
        rows: list[tuple[Any, ...]] = []
        size = 0
        until = time.monotonic() + PAGE_TIME_MAX_S
        try:
            cursor = self._db.execute(query, values)
            while part := cursor.fetchmany(_ROWS_PER_LOOK):
                rows += part
                size += sum(len(value) for row in part for value in row if type(value) is bytes)
                if size > PAGE_MAX_BYTES or time.monotonic() > until:
                    break
            cursor.close()
        except sqlite3.Error as error:
            raise explained(error, self.path) from error
        return rows

    def _all(self, query: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise explained(error, self.path) from error

    def _each(self, query: str, values: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """All rows, one by one: for `restore`, when nothing else is going on."""
        with self._lock:
            try:
                yield from self._db.execute(query, values)
            except sqlite3.Error as error:
                raise explained(error, self.path) from error


def _spec(path: Path, job: int, body: bytes) -> JobSpec:
    try:
        return spec_from_wire(unpack(body))
    except (ValueError, DecodeError) as error:
        raise LedgerCorrupt(
            f"{path}: job {job} cannot be read ({error})", path=str(path)
        ) from error
