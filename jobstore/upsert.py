"""INSERT ... ON CONFLICT, which both databases spell alike and SQLAlchemy keeps in two dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Table

Insert = postgresql.Insert | sqlite.Insert


def insert_or_ignore(db: Connection, table: Table) -> Insert:
    """Give an INSERT that leaves existing rows alone."""
    return _insert(db, table).on_conflict_do_nothing()


def insert_or_update(db: Connection, table: Table, key: str, values: dict[str, Any], kept: frozenset[str]) -> Insert:
    """Give an INSERT that overwrites the row of the same `key`, but for the columns `kept`."""
    changed = {name: value for name, value in values.items() if name != key and name not in kept}
    return _insert(db, table).values(values).on_conflict_do_update(index_elements=[key], set_=changed)


def insert_or_update_where(
    db: Connection, table: Table, values: dict[str, Any], changes: ColumnElement[bool]
) -> Insert:
    """Give an INSERT that overwrites the row of the same primary key, if that meets the condition `changes`."""
    keys = [column.name for column in table.primary_key]
    changed = {name: value for name, value in values.items() if name not in keys}
    return _insert(db, table).values(values).on_conflict_do_update(index_elements=keys, set_=changed, where=changes)


def _insert(db: Connection, table: Table) -> Insert:
    return postgresql.insert(table) if db.dialect.name == "postgresql" else sqlite.insert(table)
