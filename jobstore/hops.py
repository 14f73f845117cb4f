"""The different values of an index, by hops from one to the next: DISTINCT would read an entry for each shard."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import CTE, Column, FromClause, Select, func, literal, select

from jobstore.tables import shards

if TYPE_CHECKING:
    from collections.abc import Sequence


def values_behind(starts: FromClause, columns: Sequence[Column[Any]]) -> CTE:
    """Give the values of the next columns of an index of `shards` that stand behind each row of `starts`.

    Args:
        starts: the first columns of the index, named as they are.
        columns: of text, none of it empty; those that follow in the index.
    """
    found = select(starts).cte("known")
    for column in columns:
        found = _values(found, column).cte(f"every_{column.name}")
    return found


def _values(starts: FromClause, column: Column[Any]) -> Select[Any]:
    names = [known.name for known in starts.c]
    hop = select(*starts.c, literal("").label(column.name)).cte(f"hop_{column.name}", recursive=True)
    following = (
        select(func.min(column))
        .where(*(shards.c[name] == hop.c[name] for name in names), column > hop.c[column.name])
        .scalar_subquery()
    )
    hop = hop.union_all(select(*(hop.c[name] for name in names), following).where(hop.c[column.name].is_not(None)))
    return select(hop).where(hop.c[column.name] > "")
