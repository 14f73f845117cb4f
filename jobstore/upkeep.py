"""What keeps a fleet's storage small: chores that one process of it does at a time, and which files jobs still need."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

from sqlalchemy import Connection, or_, select

from jobstore.clock import db_now
from jobstore.export_requests import ExportState
from jobstore.file_lock import is_alone
from jobstore.schema import ENDED_STATES
from jobstore.service_tables import chores, exports
from jobstore.tables import items, jobs
from jobstore.upsert import insert_or_update_where

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from jobstore.connection import Database

T = TypeVar("T")

#: Items that are read at a time.
_PAGE = 5_000
#: How often, and after how many seconds, work that has to be alone is tried while others submit.
_TRIES, _PAUSE_S = 20, 0.1


@dataclass(frozen=True, slots=True)
class Look:
    """What a look for file names found.

    Attributes:
        needed: names that somebody needs.
        seen: jobs whose items were looked at -> how many there were; a draft may have more by now.
    """

    needed: frozenset[str] = frozenset()
    seen: Mapping[str, int] = field(default_factory=dict)


NOTHING = Look()


class Upkeep:
    """Chores of a store's fleet."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def take_turn(self, chore: str, for_s: float) -> bool:
        """Say whether a chore is the caller's to do now; for so many seconds it is then nobody else's."""
        return self._db.write(lambda db: _take_turn(db, chore, for_s))

    def look(self, names: Collection[str], before: Look = NOTHING) -> Look:
        """Find those of the file names that items have of jobs which have not ended, or whose exports are to be made.

        A name is the last part of an item's path or address. Each item is looked at, some thousands at a time.

        Args:
            before: an earlier look for these names: what was looked at then is not looked at again.
        """
        wanted, found, seen = frozenset(names), set(before.needed), dict(before.seen)
        for job_id, total in self._db.read(_jobs_with_needs) if wanted else ():
            if seen.get(job_id) != total:
                seen[job_id] = total
                found.update(name for uri in self._uris(job_id) if (name := unquote(uri.rpartition("/")[2])) in wanted)
        return Look(frozenset(found), seen)

    def alone(self, work: Callable[[], T]) -> T | None:
        """Do what takes files away, while nobody submits, retries, schedules or asks for exports; give what it gives.

        Others wait for it meanwhile, so it has to be short; it may be done twice. None: others were busy all the time.
        """
        for _ in range(_TRIES):
            done = self._db.write(lambda db: (work(),) if is_alone(db) else None)
            if done is not None:
                return done[0]
            time.sleep(_PAUSE_S)
        return None

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


def _jobs_with_needs(db: Connection) -> list[tuple[str, int]]:
    to_be_made = select(exports.c.job_id).where(exports.c.state.in_([ExportState.PENDING, ExportState.RUNNING]))
    query = select(jobs.c.id, jobs.c.total).where(or_(jobs.c.state.not_in(ENDED_STATES), jobs.c.id.in_(to_be_made)))
    return [(row.id, row.total) for row in db.execute(query)]


def _page(db: Connection, job_id: str, after: int) -> list[tuple[int, str]]:
    query = select(items.c.idx, items.c.uri).where(items.c.job_id == job_id, items.c.idx > after)
    return [(row.idx, row.uri) for row in db.execute(query.order_by(items.c.idx).limit(_PAGE))]
