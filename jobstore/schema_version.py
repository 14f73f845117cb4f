"""Which schema a database has, read without Alembic: its import costs most of a second."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from jobstore.errors import SchemaOutdated
from jobstore.service_tables import metadata  # imported from there it has every table
from jobstore.tables import SCHEMA_VERSION

__all__ = ["check_schema", "create_schema", "metadata"]


def create_schema(db: Connection) -> None:
    """Make every table and stamp the version; for tests and for a database that is empty."""
    metadata.create_all(db)
    db.execute(text("CREATE TABLE IF NOT EXISTS alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    db.execute(text("DELETE FROM alembic_version"))
    db.execute(text("INSERT INTO alembic_version (version_num) VALUES (:version)"), {"version": SCHEMA_VERSION})


def check_schema(db: Connection) -> None:
    """Raise `SchemaOutdated` unless the database was made by this version's migrations."""
    found = "no schema" if not inspect(db).has_table("alembic_version") else _version(db)
    if found != SCHEMA_VERSION:
        raise SchemaOutdated(
            f"the database has {found}, this version works with {SCHEMA_VERSION}: run `nightshift db upgrade` with the "
            "newest version that shares this database"
        )


def _version(db: Connection) -> str:
    versions = db.execute(text("SELECT version_num FROM alembic_version ORDER BY version_num")).scalars().all()
    return ", ".join(versions) or "no schema"
