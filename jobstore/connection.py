"""One database behind two calls: `read` and `write`, each one transaction, repeated when the database asks for it."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from jobstore.errors import SchemaOutdated, StoreUnavailable
from jobstore.patience import patient

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
T = TypeVar("T")

#: Execution option of connections that write; SQLite begins those with BEGIN IMMEDIATE.
WRITES = "nightshift_writes"
#: SQLite's own wait for the one writer, in seconds; it begins anew with each try.
BUSY_TIMEOUT_S = 5.0
#: PostgreSQL: serialization failure, deadlock, the server's shutdown, crash and start.
_RETRYABLE_SQLSTATES = frozenset({"40001", "40P01", "57P01", "57P02", "57P03"})
#: PostgreSQL: undefined table, undefined column.
_SCHEMA_SQLSTATES = frozenset({"42P01", "42703"})


class Database:
    """Runs functions of a connection, each as one transaction.

    A function may run more than once: it has to be idempotent, or fenced by a WHERE clause, or look up what it wrote.
    """

    def __init__(self, url: str, patience_s: float) -> None:
        self._reader = make_engine(url, min(BUSY_TIMEOUT_S, patience_s))
        self._writer = self._reader.execution_options(**{WRITES: True})
        # SQLite has one writer at a time and lets the others sleep up to 100 ms between two tries: threads of one
        # process wait for their turn here, which costs nothing.
        is_sqlite = self._reader.dialect.name == "sqlite"
        self._turn = threading.Lock() if is_sqlite else contextlib.nullcontext()
        self._retrying = patient(is_transient, patience_s, first_wait_s=0.02, most_wait_s=1.0)

    @property
    def place(self) -> str:
        """The database's URL without its password."""
        return self._reader.url.render_as_string(hide_password=True)

    def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that never waits for a writer."""
        return self._run(self._reader, work)

    def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that may change rows."""
        with self._turn:
            return self._run(self._writer, work)

    def change(
        self, change: Callable[[Connection], bool], holds: Callable[[Connection], bool] = lambda _: True
    ) -> bool:
        """Say whether this call changed something.

        A COMMIT may go through and its reply be lost: then the next try finds the work done, and the answer is that of
        the try before, if what it made so `holds`.
        """
        answers: list[bool] = []

        def once(db: Connection) -> bool:
            answers.append(change(db))
            return answers[-1] or (any(answers) and holds(db))

        return self.write(once)

    def retried(self, work: Callable[[], T]) -> T:
        """Run work that has a transaction of its own, with the same patience and the same errors."""
        try:
            return self._retrying(work)
        except SQLAlchemyError as error:
            wrapped = self._wrapped(error)
            if wrapped is None:
                raise
            raise wrapped from error

    def close(self) -> None:
        """Give the pool's connections back."""
        self._reader.dispose()

    def _run(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        return self.retried(partial(_once, engine, work))

    def _wrapped(self, error: SQLAlchemyError) -> Exception | None:
        cause = str(getattr(error, "orig", error)).strip()
        if is_schema_error(error):
            return SchemaOutdated(
                f"the database at {self.place} lacks a table or column ({cause}): run `nightshift db upgrade`"
            )
        if is_unavailable(error):
            return StoreUnavailable(
                f"the database at {self.place} does not answer ({cause}): see that it runs, then try again"
            )
        return None


def make_engine(url: str | URL, busy_timeout_s: float = BUSY_TIMEOUT_S) -> Engine:
    """Make an engine with this project's settings for SQLite or PostgreSQL; connects to nothing yet."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(parsed, connect_args={"timeout": busy_timeout_s})
        event.listen(engine, "connect", _tune_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    if parsed.get_backend_name() == "postgresql":
        arguments = {"connect_timeout": 5, "application_name": "nightshift", "keepalives_idle": 30}
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"), pool_pre_ping=True, max_overflow=20, connect_args=arguments
        )
        event.listen(engine, "connect", _tune_postgres)
        return engine
    raise ValueError(f"database URL of kind {parsed.get_backend_name()!r}: expected sqlite:/// or postgresql://")


def is_transient(error: BaseException) -> bool:
    """Say whether the same transaction may succeed at once: locked, deadlocked, or the connection was cut."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.OperationalError):
        # The lower byte is the primary code: SQLITE_BUSY, SQLITE_LOCKED.
        return _sqlite_code(error.orig) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
    return error.connection_invalidated or _is_lost_connection(error) or _sqlstate(error) in _RETRYABLE_SQLSTATES


def is_unavailable(error: Exception) -> bool:
    """Say whether the database, not the statement, is at fault: retries ended, disk full, server gone."""
    if isinstance(error, PoolTimeoutError) or is_transient(error):
        return True
    operational = isinstance(error, DBAPIError) and type(error).__name__ == "OperationalError"
    return operational and not is_schema_error(error)


def is_schema_error(error: Exception) -> bool:
    """Say whether a table or column is missing."""
    if not isinstance(error, DBAPIError):
        return False
    if isinstance(error.orig, sqlite3.Error):
        return str(error.orig).startswith(("no such table", "no such column")) or "has no column named" in str(
            error.orig
        )
    return _sqlstate(error) in _SCHEMA_SQLSTATES


def _once(engine: Engine, work: Callable[[Connection], T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _is_lost_connection(error: DBAPIError) -> bool:
    state = _sqlstate(error)
    if type(error).__name__ != "OperationalError":
        return False
    # psycopg gives no SQLSTATE when the server could not be reached at all; class 08 is "connection exception".
    return state is None or state.startswith("08")


def _sqlite_code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _tune_postgres(connection: Any, _: Any) -> None:
    """Do without compiling statements: what a release costs in all, 5 ms, took 7 s to compile, at every call.

    PostgreSQL compiles where it expects much work, and without statistics of a young table it expects far too much.
    Not by the connection's `options`, which PgBouncer refuses.
    """
    connection.autocommit = True
    connection.execute("SET jit = off")
    connection.autocommit = False


def _tune_sqlite(connection: sqlite3.Connection, _: Any) -> None:
    """Let readers and the writer work side by side; a commit lost with the power is one shard done again."""
    connection.isolation_level = None  # the driver's own BEGIN would be a deferred one
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    """Take the write lock at once: `busy_timeout` does not cover the upgrade of a reading transaction."""
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
