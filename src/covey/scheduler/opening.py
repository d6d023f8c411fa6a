"""How the file of a ledger is opened: to write, to read, another version, damaged, disk full."""

import errno
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

from covey.errors import DiskFull, LedgerCorrupt, LedgerError, LedgerVersion
from covey.scheduler.schema import (
    APPLICATION_ID,
    LEDGER_VERSION,
    MIGRATIONS,
    PAGE_BYTES,
    TABLES,
)

#: Longest wait for another process's transaction (a slice of `prune`, a fold).
BUSY_TIMEOUT_S = 30.0
#: How soon a lock is tried again for which SQLite itself does not wait.
BUSY_RETRY_S = 0.005
#: An existing file up to this size is checked whole before it is used (some 0.3 s).
CHECK_MAX_BYTES = 64 * 1024 * 1024


def connect_writer(path: Path, *, is_thorough: bool = True) -> sqlite3.Connection:
    """The connection that writes: creates the file (0600) and its tables, or migrates them.

    is_thorough: read the whole file first (if it is not too large) to see whether it is sound. A
    fold does without: every `covey map` ends with one, and it must not cost the size of the
    history.

    Raises:
        LedgerCorrupt: the file is damaged, or is no ledger.
        LedgerVersion: it was written by a newer covey.
        DiskFull: there is no room even for an empty ledger.
        LedgerError: it cannot be opened or written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never open an existing ledger other than through SQLite: closing such a descriptor
        # would drop the locks of every connection of this process.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise explained(error, path) from error
    try:
        db = sqlite3.connect(
            path,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
    except sqlite3.Error as error:
        raise explained(error, path) from error
    try:
        _prepare(db, path, is_thorough=is_thorough)
    except sqlite3.Error as error:
        db.close()
        raise explained(error, path) from error
    except LedgerError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, *, is_thorough: bool) -> None:
    found = _version_of(db, path)
    if found and is_thorough and path.stat().st_size <= CHECK_MAX_BYTES:
        verdict = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise LedgerCorrupt(f"{path} is damaged ({verdict})", path=str(path))
    if found == 0:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    _keep_a_journal(db)
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA wal_autocheckpoint=0")
    if found == 0:
        _create(db)
    elif found < LEDGER_VERSION:
        migrate(db, found, LEDGER_VERSION, MIGRATIONS)
    # Whether it may be written is seen now, not at the first record.
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE meta SET value = value WHERE name = 'term'")
    db.execute("ROLLBACK")


def _keep_a_journal(db: sqlite3.Connection) -> None:
    """Set WAL, however many processes begin the same file just now.

    SQLite takes this lock by an upgrade of a read lock, for which it never asks the busy handler
    (btree.c, sqlite3BtreeSetVersion): the loser of the race is told BUSY at once.
    """
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if _code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
        time.sleep(BUSY_RETRY_S)


def _version_of(db: sqlite3.Connection, path: Path) -> int:
    """0 = an empty file."""
    # One statement sees one state: another process may be making the tables just now.
    found, owner, tables = db.execute(
        "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
        " FROM pragma_user_version, pragma_application_id"
    ).fetchone()
    if tables and owner != APPLICATION_ID:
        raise LedgerCorrupt(f"{path} is not a ledger of covey", path=str(path))
    if found > LEDGER_VERSION:
        raise LedgerVersion(
            f"{path} was written by a newer covey (ledger version {found}, this covey writes"
            f" {LEDGER_VERSION}): use that covey, or another --cluster",
            path=str(path),
            found=found,
            ours=LEDGER_VERSION,
        )
    return found


def _create(db: sqlite3.Connection) -> None:
    db.execute("BEGIN IMMEDIATE")
    # Two processes may find the empty file at once: the second one finds the tables.
    if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        for statement in TABLES.split(";"):
            if statement.strip():
                db.execute(statement)
        db.execute(f"PRAGMA application_id={APPLICATION_ID}")
        db.execute(f"PRAGMA user_version={LEDGER_VERSION}")
    db.execute("COMMIT")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, whoever writes, and where nobody may write at all.

    Raises:
        FileNotFoundError: there is no ledger, or it was not begun yet.
        LedgerVersion: it has another version.
        LedgerCorrupt: it is damaged.
        LedgerError: it cannot be read.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    try:
        return _checked(_connect(path, "mode=ro"), path)
    except sqlite3.Error as error:
        if _code_of(error) not in _UNWRITABLE or os.access(path.parent, os.W_OK):
            raise explained(error, path) from error
    # A journal needs a file beside it for its index. Where none can be made:
    journal = path.with_name(path.name + "-wal")
    try:
        if not journal.exists() or not journal.stat().st_size:
            return _checked(_connect(path, "immutable=1"), path)
        with tempfile.TemporaryDirectory(prefix="covey-") as directory:
            copy = Path(directory) / path.name
            shutil.copyfile(path, copy)
            shutil.copyfile(journal, copy.with_name(journal.name))
            # The open files stay readable when their names are gone.
            return _checked(_connect(copy, "mode=rw"), path)
    except (sqlite3.Error, OSError) as error:
        raise explained(error, path) from error


def _connect(path: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(
        f"file:{quote(str(path))}?{how}",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
    )


def _checked(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    try:
        found = _version_of(db, path)
    except BaseException:
        db.close()
        raise
    if found == LEDGER_VERSION:
        return db
    db.close()
    if found == 0:
        raise FileNotFoundError(path)
    raise LedgerVersion(
        f"{path} was written by an older covey: the next job brings it up to date",
        path=str(path),
        found=found,
        ours=LEDGER_VERSION,
    )


def migrate(
    db: sqlite3.Connection,
    found: int,
    wanted: int,
    steps: Mapping[int, Callable[[sqlite3.Connection], None]],
) -> None:
    """Bring a ledger from version `found` to `wanted`, each step a transaction of its own.

    Raises:
        LedgerVersion: there is no way from that version; nothing of the missing step is done.
    """
    for version in range(found, wanted):
        if version not in steps:
            raise LedgerVersion(
                f"the ledger has version {version}, from which this covey (version {wanted}) does"
                " not know the way: use the covey that wrote it, or another --cluster",
                found=version,
                ours=wanted,
            )
        db.execute("BEGIN IMMEDIATE")
        try:
            steps[version](db)
            db.execute(f"PRAGMA user_version={version + 1}")
            db.execute("COMMIT")
        except BaseException:
            db.execute("ROLLBACK")
            raise


def keep_aside(path: Path) -> Path:
    """Rename a damaged ledger and its journal; returns the new name.

    Raises:
        LedgerError: it cannot be renamed.
    """
    day = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    kept = path.with_name(f"{path.name}.corrupt-{day}")
    count = 1
    while kept.exists():
        count += 1
        kept = path.with_name(f"{path.name}.corrupt-{day}-{count}")
    try:
        path.rename(kept)
        for suffix in ("-wal", "-shm"):
            beside = path.with_name(path.name + suffix)
            if beside.exists():
                beside.rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise explained(error, path) from error
    return kept


_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNWRITABLE = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM}


def explained(error: Exception, path: Path) -> LedgerError:
    """The error of SQLite or of the file system as one sentence, with what to do."""
    code = _code_of(error)
    if _is_full(error, path):
        return DiskFull(
            f"the disk of {path.parent} is full: free space there, or set COVEY_HOME elsewhere",
            path=str(path),
        )
    if code in _CORRUPT:
        return LedgerCorrupt(f"{path} is damaged ({error})", path=str(path))
    if code in _UNWRITABLE or isinstance(error, OSError):
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return LedgerError(
            f"{path} cannot be opened and written ({reason}): check who owns {path.parent}, or set"
            " COVEY_HOME elsewhere",
            path=str(path),
        )
    return LedgerError(f"{path}: {error}", path=str(path))


def _code_of(error: Exception) -> int:
    """SQLite's primary error code; 0 = not an error of SQLite."""
    return (getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_full(error: Exception, path: Path) -> bool:
    """Whether the disk is full: SQLite calls that an I/O error at times."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    if _code_of(error) != sqlite3.SQLITE_IOERR:
        return _code_of(error) == sqlite3.SQLITE_FULL
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail * disk.f_frsize < PAGE_BYTES * 4
