"""How a group of what the ledger is told becomes rows.

Rows of a group are gathered first and then written by few statements of many rows each: SQLite
gives up the interpreter's lock at each statement, and a busy event loop makes each return dear.
"""

import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from covey.errors import InternalError
from covey.model.job import FINAL_STATES
from covey.model.pack import pack
from covey.model.phases import STEPS
from covey.model.report import Report
from covey.model.task import OutcomeState
from covey.scheduler.records import (
    Attempts,
    Event,
    Items,
    JobSealed,
    JobStateChanged,
    NewJob,
    NewShape,
    Op,
    Outcomes,
    PhaseTimes,
    RaiseTerm,
    ShapeFrom,
)
from covey.scheduler.schema import ROW_COLUMNS, ROW_WIDTH
from covey.scheduler.segments import SegmentWriter

#: Output and result of an attempt up to this many bytes stay in its row; larger go to a segment.
ROW_OUTPUT_MAX_BYTES = 4096
#: Most rows of one INSERT: 20 columns × 256 stay far under SQLite's limit of variables.
_STATEMENT_ROWS = 256

_Row = tuple[Any, ...]
_steps = attrgetter(*STEPS)


class _Tally:
    """What the outcomes of a group add to the row of their job."""

    __slots__ = (
        "cancelled",
        "failed",
        "first_seq",
        "high_water",
        "last_seq",
        "succeeded",
        "term",
    )

    def __init__(self) -> None:
        self.succeeded = self.failed = self.cancelled = self.high_water = self.term = 0
        self.first_seq = self.last_seq = 0

    def count(self, state: int, seq: int) -> None:
        self.first_seq = self.first_seq or seq
        self.last_seq = seq
        if state == OutcomeState.SUCCEEDED:
            self.succeeded += 1
        elif state == OutcomeState.CANCELLED:
            self.cancelled += 1
        else:
            self.failed += 1


class RowWriter:
    """Turns ops into rows, inside of a transaction that its caller begins and commits."""

    def __init__(self, db: sqlite3.Connection, segments: SegmentWriter) -> None:
        self._db = db
        self._segments = segments
        self._agents: dict[str, int] = {}
        self._seq_bases: dict[int, int] = {}
        #: Outcomes that came for tasks which had one: dropped, as they must be.
        self.refused = 0
        #: Job -> last seq of its outcomes that this writer wrote, counted as readers count.
        self.last_seqs: dict[int, int] = {}
        #: The same of the transaction that is under way.
        self._new_seqs: dict[int, int] = {}
        self._new_refused = 0

    def write(self, ops: Iterable[Op]) -> None:
        """Write a group.

        Raises:
            sqlite3.Error, OSError: roll back, and call `rolled_back`.
        """
        group = list(ops)
        for op in group:
            if isinstance(op, PhaseTimes):
                self._phases(op)
            elif not isinstance(op, Outcomes | Attempts):
                self._write_one(op)
        attempts = [row for op in group if isinstance(op, Attempts) for row in self._rows(op)]
        if attempts:
            self._insert("attempt", attempts)
        self._outcomes([op for op in group if isinstance(op, Outcomes)])
        self._segments.sync()

    def _write_one(self, op: Op) -> None:
        db = self._db
        match op:
            case Items():
                self._items(op)
            case NewJob():
                self._new_job(op)
            case NewShape():
                values = (op.job, op.shape, op.body)
                db.execute("INSERT OR IGNORE INTO shape VALUES (?, ?, ?)", values)
            case ShapeFrom():
                values = (op.job, op.first, op.shape)
                db.execute("INSERT OR IGNORE INTO span VALUES (?, ?, ?)", values)
            case JobStateChanged():
                ended = op.at if op.state in FINAL_STATES else None
                db.execute(
                    "UPDATE job SET state = ?, reason = ?, ended = ? WHERE id = ?",
                    (op.state, op.reason, ended, op.job),
                )
            case JobSealed():
                db.execute("UPDATE job SET total = ? WHERE id = ?", (op.total, op.job))
            case Event():
                db.execute(
                    "INSERT INTO event(job, at, kind, text) VALUES (?, ?, ?, ?)",
                    (op.job, op.at, op.kind, op.text),
                )
            case RaiseTerm():
                self._raise_term(op)
            case Outcomes() | Attempts() | PhaseTimes():
                raise InternalError("outcomes and attempts are written by the group")

    def _phases(self, op: PhaseTimes) -> None:
        marks = ",".join("?" * (len(STEPS) + 3))
        # Of a task that is done again, the last.
        self._db.executemany(
            f"INSERT OR REPLACE INTO phase VALUES ({marks})",
            [(op.job, task, phases.agent, *_steps(phases)) for task, phases in op.tasks],
        )

    def committed(self) -> None:
        """The transaction was committed."""
        self.last_seqs.update(self._new_seqs)
        self._new_seqs.clear()
        self.refused += self._new_refused
        self._new_refused = 0
        self._segments.committed()

    def rolled_back(self) -> None:
        """The transaction was rolled back: what is remembered of its rows is not true."""
        self._agents.clear()
        self._seq_bases.clear()
        self._new_seqs.clear()
        self._new_refused = 0
        self._segments.rolled_back()

    def _new_job(self, op: NewJob) -> None:
        done = self._db.execute(
            "INSERT INTO job(id, key, state, created, term) SELECT ?, ?, ?, ?, value FROM meta"
            " WHERE name = 'term' ON CONFLICT DO NOTHING",
            (op.job, op.key, op.state, op.created),
        )
        if done.rowcount:
            self._db.execute("INSERT INTO spec VALUES (?, ?, ?)", (op.job, op.name, op.spec))

    def _items(self, op: Items) -> None:
        job = op.job
        rows = [(job, idx, arg) for idx, arg in enumerate(op.args, op.first)]
        _insert(self._db, "item(job, idx, arg)", 3, rows)
        self._db.execute(
            "UPDATE job SET held = max(held, ?) WHERE id = ?", (op.first + len(rows) - 1, job)
        )

    def _raise_term(self, op: RaiseTerm) -> None:
        # A folded run brings jobs with terms of its own.
        self._db.execute(
            "UPDATE meta SET value = 1 + max(value, (SELECT ifnull(max(term), 0) FROM job))"
            " WHERE name = 'term'"
        )
        found = self._db.execute("SELECT value FROM meta WHERE name = 'term'").fetchone()
        op.term = int(found[0])

    def _outcomes(self, group: list[Outcomes]) -> None:
        rows = [row for op in group for row in self._rows(op)]
        if not rows:
            return
        written = self._insert("outcome", rows)
        if written == len(rows):
            last = int(self._db.execute("SELECT max(seq) FROM outcome").fetchone()[0])
            counted = [(row[0], row[6], seq) for seq, row in enumerate(rows, last - written + 1)]
        else:
            # The database says which were accepted, not our memory: they are the last ones.
            self._new_refused += len(rows) - written
            counted = self._db.execute(
                "SELECT job, state, seq FROM outcome ORDER BY seq DESC LIMIT ?", (written,)
            ).fetchall()
            counted.reverse()
        tallies: dict[int, _Tally] = {op.job: _Tally() for op in group}
        for job, state, seq in counted:
            tallies[job].count(state, seq)
        for op in group:
            tally = tallies[op.job]
            tally.high_water = max(tally.high_water, op.high_water, *op.ids, 0)
            tally.term = max(tally.term, op.term)
        for job, tally in tallies.items():
            self._count(job, tally)
            if tally.last_seq:
                self._new_seqs[job] = tally.last_seq - self._seq_base(job)

    def _count(self, job: int, tally: _Tally) -> None:
        good, bad, cut = tally.succeeded, tally.failed, tally.cancelled
        first, last = tally.first_seq or None, tally.last_seq
        self._db.execute(
            "UPDATE job SET done = done + ?, succeeded = succeeded + ?, failed = failed + ?,"
            " cancelled = cancelled + ?, hwm = max(hwm, ?), term = max(term, ?),"
            " first_seq = ifnull(first_seq, ?), last_seq = max(last_seq, ?) WHERE id = ?",
            (good + bad + cut, good, bad, cut, tally.high_water, tally.term, first, last, job),
        )

    def _rows(self, op: Outcomes | Attempts) -> list[_Row]:
        agent = self._agent(op.agent)
        job, term, at = op.job, op.term, op.at
        if not len(op.ids) == len(op.ns) == len(op.states) == len(op.reports):
            raise InternalError(f"a record of job {job} has lists of different lengths")
        rows: list[_Row] = []
        for idx, n, state, r in zip(op.ids, op.ns, op.states, op.reports, strict=True):
            if r is None:
                rows.append((job, idx, term, n, agent, None, int(state), *[None] * 3, at)
                            + (None,) * (ROW_WIDTH - 11))  # fmt: skip
                continue
            error = _error(r) if r.error or r.error_pickle else None
            kept: tuple[bytes | None, bytes | None, bytes | None] = (
                r.out or None, r.err or None, r.value or None,
            )  # fmt: skip
            ref = None
            if len(r.out) + len(r.err) + len(r.value) > ROW_OUTPUT_MAX_BYTES:
                ref = str(self._segments.append(job, r.out, r.err, r.value))
                kept = (None, None, None)
            rows.append((
                job, idx, term, n, agent, r.slot, int(state), r.exit, r.signal, r.started or None,
                r.ended or at, r.cpu_s, r.rss_bytes, *kept, r.out_size, r.err_size, error, ref,
            ))  # fmt: skip
        return rows

    def _agent(self, name: str) -> int:
        known = self._agents.get(name)
        if known is None:
            self._db.execute("INSERT OR IGNORE INTO agent(name) VALUES (?)", (name,))
            found = self._db.execute("SELECT id FROM agent WHERE name = ?", (name,)).fetchone()
            known = self._agents[name] = int(found[0])
        return known

    def _seq_base(self, job: int) -> int:
        base = self._seq_bases.get(job)
        if base is None:
            found = self._db.execute("SELECT seq_base FROM job WHERE id = ?", (job,)).fetchone()
            base = self._seq_bases[job] = int(found[0]) if found else 0
        return base

    def _insert(self, table: str, rows: list[_Row]) -> int:
        return _insert(self._db, f"{table}({ROW_COLUMNS})", ROW_WIDTH, rows)


def _error(report: Report) -> bytes:
    # A file name in a traceback may be no Unicode; it must not stop the ledger.
    texts = [text.encode("utf-8", "backslashreplace").decode() for text in report.error or ()]
    return pack((texts or None, report.error_pickle))


_texts: dict[tuple[str, int], str] = {}


def _insert(db: sqlite3.Connection, into: str, width: int, rows: list[_Row]) -> int:
    """INSERT OR IGNORE in pieces of which there are few kinds, so that they stay prepared."""
    written = 0
    at = 0
    while at < len(rows):
        count = _piece(len(rows) - at)
        text = _texts.get((into, count))
        if text is None:
            one = f"({','.join('?' * width)})"
            text = f"INSERT OR IGNORE INTO {into} VALUES {','.join([one] * count)}"
            _texts[into, count] = text
        values = [value for row in rows[at : at + count] for value in row]
        written += db.execute(text, values).rowcount
        at += count
    return written


def _piece(left: int) -> int:
    """256s, then one multiple of 16, then the rest: at most 31 prepared statements per table."""
    if left >= _STATEMENT_ROWS:
        return _STATEMENT_ROWS
    return left - left % 16 if left >= 16 else left
