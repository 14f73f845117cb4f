import sqlite3

import psycopg
import pytest
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, ProgrammingError

from jobstore.clock import db_now
from jobstore.connection import is_schema_error, is_transient, is_unavailable
from jobstore.counters import Counters, count_states
from jobstore.schema import OutcomeState


def of_sqlite(message, code):
    original = sqlite3.OperationalError(message)
    original.sqlite_errorcode = code
    return OperationalError("SELECT 1", {}, original)


def of_postgres(wrapper, original):
    return wrapper("SELECT 1", {}, original)


CASES = {
    "sqlite-busy": (of_sqlite("database is locked", sqlite3.SQLITE_BUSY), "transient"),
    "sqlite-busy-snapshot": (of_sqlite("database is locked", sqlite3.SQLITE_BUSY | 2 << 8), "transient"),
    "sqlite-disk-full": (of_sqlite("database or disk is full", sqlite3.SQLITE_FULL), "unavailable"),
    "sqlite-no-table": (of_sqlite("no such table: jobs", sqlite3.SQLITE_ERROR), "schema"),
    "sqlite-no-column": (of_sqlite("table jobs has no column named x", sqlite3.SQLITE_ERROR), "schema"),
    "postgres-deadlock": (of_postgres(OperationalError, psycopg.errors.DeadlockDetected()), "transient"),
    "postgres-serialization": (of_postgres(OperationalError, psycopg.errors.SerializationFailure()), "transient"),
    "postgres-shutdown": (of_postgres(OperationalError, psycopg.errors.AdminShutdown()), "transient"),
    "postgres-starting": (of_postgres(OperationalError, psycopg.errors.CannotConnectNow()), "transient"),
    "postgres-unreachable": (of_postgres(OperationalError, psycopg.OperationalError()), "transient"),
    "postgres-disk-full": (of_postgres(OperationalError, psycopg.errors.DiskFull()), "unavailable"),
    "postgres-no-table": (of_postgres(ProgrammingError, psycopg.errors.UndefinedTable()), "schema"),
    "postgres-syntax": (of_postgres(ProgrammingError, psycopg.errors.SyntaxError()), "ours"),
    "constraint": (of_postgres(IntegrityError, psycopg.errors.CheckViolation()), "ours"),
    "cut-off": (DBAPIError("SELECT 1", {}, psycopg.InterfaceError(), connection_invalidated=True), "transient"),
    "foreign": (KeyError("x"), "ours"),
}


@pytest.mark.parametrize(("error", "kind"), CASES.values(), ids=CASES)
def test_errors_are_told_apart(error, kind):
    assert is_transient(error) is (kind == "transient")
    assert is_unavailable(error) is (kind in {"transient", "unavailable"})
    assert is_schema_error(error) is (kind == "schema")


@pytest.mark.parametrize(
    ("dialect", "words"),
    [(sqlite.dialect(), "julianday('now')"), (postgresql.dialect(), "clock_timestamp()")],
    ids=["sqlite", "postgresql"],
)
def test_the_clock_is_the_databases(dialect, words):
    assert words in str(select(func.abs(db_now() + 1)).compile(dialect=dialect))


def test_an_item_is_counted_by_its_first_frame_and_objects_in_all():
    counted = count_states([(OutcomeState.OK, 0, 2), (OutcomeState.OK, 1, 3), (OutcomeState.FAILED, 0, 0)])

    assert counted == Counters(ok=1, failed=1, objects=5, frames=1)
    assert (counted + counted).ended == 4
