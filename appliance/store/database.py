"""The one database: WAL, synchronous=FULL, foreign keys on; a small pool of connections."""

from __future__ import annotations

import fcntl
import queue
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlite_utils import Database

from appliance.errors import DiskFullError, StorageError
from appliance.store.migrations import MIGRATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Store:
    """A door to the database that any thread may use.

    Parameters
    ----------
    path
        The database file; made with its schema when it is not there.
    busy_timeout_s
        How long a writer waits for another one.

    Notes
    -----
    Schema, migrations and reads go through sqlite-utils; whoever writes uses `transaction`, a raw
    ``BEGIN IMMEDIATE``, so that two writers queue instead of failing at the upgrade of a read lock.
    """

    def __init__(self, path: Path, *, busy_timeout_s: float = 15.0) -> None:
        self._path = path
        self._busy_timeout_s = busy_timeout_s
        self._idle: queue.LifoQueue[Database] = queue.LifoQueue()
        path.parent.mkdir(parents=True, exist_ok=True)
        # SQLite does not queue those who switch an empty file to WAL at the same time: a lock does.
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with self.read() as db:
                MIGRATIONS.apply(db)

    def _connect(self) -> Database:
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("pragma foreign_keys = on")
        return Database(connection)

    @contextmanager
    def read(self) -> Iterator[Database]:
        """Lend a connection for reads (each statement its own transaction)."""
        try:
            db = self._idle.get_nowait()
        except queue.Empty:
            db = self._connect()
        try:
            yield db
        finally:
            self._idle.put(db)

    @contextmanager
    def transaction(self) -> Iterator[Database]:
        """Lend a connection inside ``BEGIN IMMEDIATE``; commit at the end, roll back on an error.

        Raises
        ------
        DiskFullError
            SQLite found no space; nothing of the transaction was kept.
        StorageError
            The database stayed locked, or is damaged.
        """
        with self.read() as db:
            _run(db, "begin immediate")
            try:
                yield db
                _run(db, "commit")
            except BaseException as error:
                if db.conn.in_transaction:
                    db.conn.execute("rollback")
                if isinstance(error, sqlite3.OperationalError):
                    raise _as_storage_error(error) from error
                raise

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        with self.read() as db:
            return int(db.execute("pragma data_version").fetchone()[0])

    def quick_check(self) -> str:
        """Return ``ok``, or what SQLite finds wrong with the database file."""
        with self.read() as db:
            return str(db.execute("pragma quick_check(1)").fetchone()[0])

    def close(self) -> None:
        """Close every idle connection."""
        while not self._idle.empty():
            self._idle.get_nowait().close()


def _run(db: Database, statement: str) -> None:
    try:
        db.conn.execute(statement)
    except sqlite3.OperationalError as error:
        raise _as_storage_error(error) from error


def _as_storage_error(error: sqlite3.OperationalError) -> StorageError:
    text = str(error)
    if "full" in text or "disk I/O" in text:
        return DiskFullError("The disk is full. Free space on the box, then send again.")
    return StorageError(f"The database could not be written ({text}). Restart the box.")
