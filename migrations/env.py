"""Alembic's entry: one connection, one transaction, one migrator at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

from jobstore.connection import WRITES, make_engine
from jobstore.schema_version import metadata

#: Any number that no other program uses for its advisory locks in this database; "nightsh" in ASCII.
_LOCK = 0x6E696768747368


def _run() -> None:
    engine = make_engine(context.config.attributes["url"])
    try:
        with engine.execution_options(**{WRITES: True}).begin() as connection:
            _migrate(connection)
    finally:
        engine.dispose()


def _migrate(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        # SQLite's BEGIN IMMEDIATE has locked out a second migrator already.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    # Alembic holds SQLite unable to roll back DDL. It is able to, once the driver does not commit on its own.
    context.configure(connection=connection, target_metadata=metadata, transactional_ddl=True, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


_run()
