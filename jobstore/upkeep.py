"""What keeps a fleet's storage small: chores that one process of it does at a time, and which files jobs still need."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

from sqlalchemy import Connection, or_, select

from jobstore.clock import db_now
from jobstore.export_requests import ExportState
from jobstore.schema import ENDED_STATES
from jobstore.service_tables import chores, exports
from jobstore.tables import items, jobs
from jobstore.upsert import insert_or_update_where

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from jobstore.connection import Database

#: Items that are read at a time.
_PAGE = 5_000


class Upkeep:
    """Chores of a store's fleet."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take_turn(self, chore: str, for_s: float) -> bool:
        """Say whether a chore is the caller's to do now; for so many seconds it is then nobody else's."""
        return self._db.write(lambda db: _take_turn(db, chore, for_s))

    def needed(self, names: Collection[str]) -> set[str]:
        """Give those of the file names that items have of jobs which have not ended, or whose exports are to be made.

        A name is the last part of an item's path or address. Each item is looked at, some thousands at a time.
        """
        wanted, found = frozenset(names), set[str]()
        if not wanted:
            return found
        for job_id in self._db.read(_jobs_with_needs):
            for uri in self._uris(job_id):
                name = unquote(uri.rpartition("/")[2])
                if name in wanted:
                    found.add(name)
        return found

    def _uris(self, job_id: str) -> Iterator[str]:
        last: int | None = -1
        while last is not None:
            rows = self._db.read(partial(_page, job_id=job_id, after=last))
            yield from (uri for _, uri in rows)
            last = rows[-1][0] if len(rows) == _PAGE else None


def _take_turn(db: Connection, chore: str, for_s: float) -> bool:
    values = {"name": chore, "taken_until": db_now() + for_s}
    taken = insert_or_update_where(db, chores, values, chores.c.taken_until <= db_now())
    return db.execute(taken.returning(chores.c.name)).first() is not None


def _jobs_with_needs(db: Connection) -> list[str]:
    to_be_made = select(exports.c.job_id).where(exports.c.state.in_([ExportState.PENDING, ExportState.RUNNING]))
    query = select(jobs.c.id).where(or_(jobs.c.state.not_in(ENDED_STATES), jobs.c.id.in_(to_be_made)))
    return list(db.execute(query).scalars())


def _page(db: Connection, job_id: str, after: int) -> list[tuple[int, str]]:
    query = select(items.c.idx, items.c.uri).where(items.c.job_id == job_id, items.c.idx > after)
    return [(row.idx, row.uri) for row in db.execute(query.order_by(items.c.idx).limit(_PAGE))]
