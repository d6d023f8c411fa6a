"""The ledger's tables and its version.

One item row and one outcome row per task, nothing at grant; no outcome row = the task is pending.
`idx` is the task's number, from 1. `seq` orders outcomes as they were recorded and never comes
back, so a reader that has seen `seq` resumes behind it. Readers see `seq` less the job's
`seq_base`, so that it stays the same when the ledger of a private run is folded into another. The
specification of a job stands beside its row, because the counters in the row change with every
group and SQLite rewrites whole rows.
"""

import sqlite3
from collections.abc import Callable, Mapping

#: `PRAGMA user_version` of a ledger that this covey writes. Raise it with a step in MIGRATIONS.
LEDGER_VERSION = 3
#: `PRAGMA application_id`: "Cove".
APPLICATION_ID = 0x436F7665
#: Output of up to 4 KiB stays in its row: two such rows fit in one page of this size.
PAGE_BYTES = 8192

_ATTEMPT_COLUMNS = """
    job INTEGER NOT NULL, idx INTEGER NOT NULL, term INTEGER NOT NULL, n INTEGER NOT NULL,
    agent INTEGER NOT NULL, slot INTEGER, state INTEGER NOT NULL, exit INTEGER, signal INTEGER,
    started REAL, ended REAL, cpu REAL, rss INTEGER,
    out BLOB, err BLOB, value BLOB, out_size INTEGER, err_size INTEGER, error BLOB, ref TEXT"""

#: Shapes that a job got after it was submitted; and from which item on items have which shape
#: (before the first: shape 1).
_SHAPES = """
CREATE TABLE shape(job INTEGER NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (job, number)) WITHOUT ROWID;
CREATE TABLE span(job INTEGER NOT NULL, first INTEGER NOT NULL, shape INTEGER NOT NULL,
    PRIMARY KEY (job, first)) WITHOUT ROWID;
"""

#: When the steps of a task were (`model.phases`), of jobs that were traced.
_PHASES = """
CREATE TABLE phase(job INTEGER NOT NULL, idx INTEGER NOT NULL, agent TEXT NOT NULL,
    arrived REAL, reserved REAL, queued REAL, claimed REAL, granted REAL, received REAL,
    started REAL, ended REAL, recorded REAL, PRIMARY KEY (job, idx)) WITHOUT ROWID;
"""

TABLES = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('term', 0);
CREATE TABLE agent(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
INSERT INTO agent VALUES (0, '');
CREATE TABLE job(
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', term INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0, total INTEGER,
    done INTEGER NOT NULL DEFAULT 0, succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0, cancelled INTEGER NOT NULL DEFAULT 0,
    hwm INTEGER NOT NULL DEFAULT 0, seq_base INTEGER NOT NULL DEFAULT 0,
    first_seq INTEGER, last_seq INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL, ended REAL);
CREATE TABLE spec(job INTEGER PRIMARY KEY, name TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE item(job INTEGER NOT NULL, idx INTEGER NOT NULL, arg BLOB NOT NULL,
    PRIMARY KEY (job, idx)) WITHOUT ROWID;
{_SHAPES}{_PHASES}
CREATE TABLE outcome(seq INTEGER PRIMARY KEY AUTOINCREMENT,{_ATTEMPT_COLUMNS},
    visible INTEGER NOT NULL DEFAULT 1, UNIQUE (job, idx));
CREATE TABLE attempt(seq INTEGER PRIMARY KEY AUTOINCREMENT,{_ATTEMPT_COLUMNS},
    UNIQUE (job, idx, term, n));
CREATE INDEX attempt_of_job ON attempt(job, seq);
CREATE TABLE event(seq INTEGER PRIMARY KEY AUTOINCREMENT, job INTEGER NOT NULL,
    at REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL);
CREATE INDEX event_of_job ON event(job, seq);
"""

#: Columns that an outcome and an attempt have in common, in the order in which they are written.
ROW_COLUMNS = (
    "job, idx, term, n, agent, slot, state, exit, signal, started, ended, cpu, rss,"
    " out, err, value, out_size, err_size, error, ref"
)
ROW_WIDTH = ROW_COLUMNS.count(",") + 1


def _add_shapes(db: sqlite3.Connection) -> None:
    for statement in _SHAPES.split(";"):
        db.execute(statement)


def _add_phases(db: sqlite3.Connection) -> None:
    db.execute(_PHASES.strip().removesuffix(";"))


#: Step from a version to the next, each in one transaction with its new number.
MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: _add_shapes, 2: _add_phases}
