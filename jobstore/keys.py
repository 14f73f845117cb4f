"""Reading by keys, whatever PostgreSQL's statistics say.

A job of a million items that was just submitted is unknown to them: the planner takes it for a handful of rows, reads
all of it, sorts it and throws away what is not on the page. Autovacuum looks again after a tenth of the table has
changed, which in a large one may be never.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, RowMapping, func, literal, select, true
from sqlalchemy.dialects.postgresql import ARRAY

if TYPE_CHECKING:
    from sqlalchemy import Column, ColumnElement, Connection, Table

_OTHER_WAYS = ("enable_seqscan", "enable_bitmapscan", "enable_sort", "enable_hashjoin", "enable_mergejoin")


def go_by_keys(db: Connection) -> None:
    """Have the rest of a reading transaction walk along indexes, in their order; SQLite does so anyway."""
    if db.dialect.name == "postgresql":
        db.execute(_GO_BY_KEYS)


_GO_BY_KEYS = select(*(func.set_config(name, "off", True) for name in _OTHER_WAYS))


def rows_of(
    db: Connection,
    table: Table,
    columns: Sequence[Column[Any]],
    its: ColumnElement[bool],
    indices: Collection[int],
) -> dict[int, RowMapping]:
    """Give a table's rows by `idx`, one for each; an index without a row is left out.

    Args:
        columns: what is read of them; `idx` is one.
        its: what with `idx` makes a primary key.
    """
    found = select(*columns).where(its)
    if db.dialect.name == "postgresql":
        # With IN, a planner that expects few rows of a job reads all of them. LIMIT keeps it from joining otherwise.
        wanted = (
            func.unnest(literal(sorted(indices), ARRAY(Integer))).table_valued("idx", name="wanted").render_derived()
        )
        each = found.where(table.c.idx == wanted.c.idx).limit(1).lateral()
        query = select(each).select_from(wanted.join(each, true()))
    else:
        query = found.where(table.c.idx.in_(sorted(indices)))
    return {row["idx"]: row for row in db.execute(query).mappings()}
