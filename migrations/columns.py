"""What revisions say more than once: columns that count from nothing, and adding and dropping columns of old tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from alembic import op

#: Columns by the table that gets them.
Columns = Mapping[str, Sequence[sa.Column[object]]]


def counted(name: str) -> sa.Column[object]:
    """Give an integer column that is 0 in rows which do not say otherwise."""
    return sa.Column(name, sa.Integer(), nullable=False, server_default="0")


def add(columns: Columns) -> None:
    """Give tables more columns."""
    for table, those in columns.items():
        for column in those:
            op.add_column(table, column)


def drop(columns: Columns) -> None:
    """Take them away again."""
    for table, those in columns.items():
        for column in those:
            op.drop_column(table, column.name)
