"""Trouble with opening a job's model on a class of hardware: waiting for what passes, giving up on what does not.

A provider that is away is waited for: the shard that needed the model is held, and with it what waits for the class,
until the next try. Where another worker has the model open and goes on, only the shard itself is held. A process that
ends or hangs while it loads has not touched an item, so no shard counts a death: the class does. Too long without the
model, or too many deaths, and the class is refused, as one on which the model does not open at all.

The first worker that opens the model ends the trouble. Locks are taken in the order of `endings`.
"""

from __future__ import annotations

import random
from enum import IntEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Row, delete, select, update

from jobstore.clock import db_now
from jobstore.encoding import storable
from jobstore.events import add_event
from jobstore.leases import UNOWNED, is_held
from jobstore.routing import refuse_class
from jobstore.schema import JobId, ShardState
from jobstore.steering import hold, unhold_class
from jobstore.tables import openings, shards
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jobstore.connection import Database
    from jobstore.schema import Lease, OpeningTrouble

#: Stored with a class on which processes were lost while they loaded the model.
OPENING_LOST = "opening_lost"
#: Seconds until the second try, and the most; less up to a half by chance, so that not all jobs try at once.
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0
#: A provider may ask for a longer wait than `LONGEST_WAIT_S`, but not for more than this, in seconds.
MOST_ASKED_S = 600.0


class Stage(IntEnum):
    """How far a leased shard's model is; what `shards.opening` holds."""

    OPEN = 0  # its items are worked on
    WAITS = 1  # the model is fetched, or its process loads another one
    LOADS = 2  # the model is being loaded for it: what ends the process now is the model's doing


class Openings:
    """How the models of a store's jobs open; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def note_stage(self, lease: Lease, stage: Stage) -> None:
        """Note how far the model of a leased shard is: who is lost before it is open has touched no item."""
        self._db.write(lambda db: _note_stage(db, lease, stage))

    def opened(self, lease: Lease) -> None:
        """Note that the model of a leased shard is open now, which ends the trouble that its job had with it."""
        self._db.write(lambda db: _opened(db, lease))

    def postpone(self, lease: Lease, trouble: OpeningTrouble, retry_s: float) -> float | None:
        """Give a shard back until the next try to open its model.

        Args:
            retry_s: seconds of trouble after which the class is refused.

        Returns:
            Seconds until the next try; None: the class is refused now, or the shard was no longer the lease's.
        """
        return self._db.write(lambda db: _postpone(db, lease, trouble, retry_s))

    def retry_due(self) -> int:
        """Let go of shards that waited for the next try to open their model; give the number of jobs and classes."""
        return self._db.write(_retry_due)


def wait_s(tries: int, asked_s: float | None, chance: float) -> float:
    """Give the seconds until the next try. Pure.

    Args:
        tries: those that failed, 1 or more.
        asked_s: what the provider asked to wait.
        chance: 0 to 1, drawn by the caller.
    """
    grown = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries - 1, 16))
    return max(grown * (0.5 + chance / 2), min(asked_s or 0.0, MOST_ASKED_S))


def _note_stage(db: Connection, lease: Lease, stage: Stage) -> None:
    """Note how far the model of a shard is, as long as the shard is the lease's."""
    db.execute(update(shards).where(*is_held(lease)).values(opening=stage))


def _opened(db: Connection, lease: Lease) -> None:
    """Note that the shard's model is open: whatever trouble the job had on this class is over."""
    _note_stage(db, lease, Stage.OPEN)
    is_over = delete(openings).where(openings.c.job_id == lease.job_id, openings.c.hardware == lease.hardware)
    if db.execute(is_over).rowcount:
        unhold_class(db, lease.job_id, lease.hardware)


def _postpone(db: Connection, lease: Lease, trouble: OpeningTrouble, retry_s: float) -> float | None:
    """Give a shard back until the next try to open its model; give the seconds until then.

    Args:
        retry_s: seconds of trouble after which the class is refused.

    Returns:
        None: the shard was no longer the lease's, or the class is refused now and the job goes on with another, if any.
    """
    given_back = update(shards).where(*is_held(lease)).returning(shards.c.hardware)
    values = {"state": ShardState.HELD, "attempt": shards.c.attempt + 1, **UNOWNED}
    hardware = db.execute(given_back.values(values)).scalar_one_or_none()
    if hardware is None:
        return None
    row = _row(db, lease.job_id, hardware, trouble.code, trouble.message)
    is_elsewhere = _is_open_elsewhere(db, lease.job_id, hardware)
    if not is_elsewhere:
        hold(db, lease.job_id, hardware)
    if row.wait_s is not None and row.wait_s > 0:
        return float(row.wait_s)  # another shard has tried in this round
    if row.troubled_s >= retry_s and not is_elsewhere:
        reason = f"{trouble.message}\n(failed tries: {row.tries + 1}, in {row.troubled_s:.0f} s)"
        refuse_class(db, lease.job_id, hardware, trouble.code, reason)
        return None
    seconds = wait_s(row.tries + 1, trouble.asked_s, random.random())  # noqa: S311 (no secret)
    change = update(openings).where(*_is(lease.job_id, hardware))
    words, next_try = storable(trouble.message), db_now() + seconds
    db.execute(change.values(tries=openings.c.tries + 1, code=trouble.code, message=words, next_try=next_try))
    details = {"hardware": hardware, "code": trouble.code, "message": trouble.message, "next_try_s": round(seconds, 1)}
    add_event(db, lease.job_id, "opening_postponed", details)
    return seconds


def _retry_due(db: Connection) -> int:
    """Let go of the shards whose next try is due; give the number of jobs and classes."""
    due = update(openings).where(openings.c.next_try <= db_now()).values(next_try=None)
    rows = db.execute(due.returning(openings.c.job_id, openings.c.hardware)).all()
    for row in sorted((row.job_id, row.hardware) for row in rows):
        unhold_class(db, JobId(row[0]), row[1])
    return len(rows)


def count_lost(db: Connection, lost: Iterable[Row[Any]], max_deaths: int) -> None:
    """Count a death for each class on which a process was lost while it opened a job's model.

    Args:
        lost: rows of `shards` whose `opening` was not `OPEN`, with the owner that they had.
        max_deaths: lost processes after which the class is refused.
    """
    rows = list(lost)
    loaders = {row.owner for row in rows if row.opening == Stage.LOADS}
    # Who only waited while another model was loaded is not to blame.
    guilty = {
        (row.job_id, row.hardware, row.owner) for row in rows if row.opening == Stage.LOADS or row.owner not in loaders
    }
    for job_id, hardware, owner in sorted(guilty):
        _count_death(db, JobId(job_id), hardware, owner, max_deaths)


def _count_death(db: Connection, job_id: JobId, hardware: str, owner: str, max_deaths: int) -> None:
    """Once an owner: shards that waited for the same opening may be found one after the other."""
    message = "a worker process was lost, or did not get on, while it opened the model"
    _row(db, job_id, hardware, OPENING_LOST, message)
    change = update(openings).where(*_is(job_id, hardware)).where(openings.c.owner.is_distinct_from(owner))
    values = {"deaths": openings.c.deaths + 1, "owner": owner, "code": OPENING_LOST, "message": message}
    deaths = db.execute(change.values(values).returning(openings.c.deaths)).scalar_one_or_none()
    if deaths is None:
        return
    add_event(db, job_id, OPENING_LOST, {"hardware": hardware, "worker": owner, "deaths": deaths})
    if deaths >= max_deaths:
        words = f"{deaths} worker processes were lost, or did not get on, while they opened the model"
        refuse_class(db, job_id, hardware, OPENING_LOST, words)


def _row(db: Connection, job_id: JobId, hardware: str, code: str, message: str) -> Row[Any]:
    """Give the trouble's row, locked; it begins now where there was none."""
    values = {"job_id": job_id, "hardware": hardware, "code": code, "message": storable(message), "since": db_now()}
    db.execute(insert_or_ignore(db, openings).values(values))
    columns = (
        openings.c.tries,
        (openings.c.next_try - db_now()).label("wait_s"),
        (db_now() - openings.c.since).label("troubled_s"),
    )
    return db.execute(select(*columns).where(*_is(job_id, hardware)).with_for_update()).one()


def _is(job_id: JobId, hardware: str) -> tuple[Any, ...]:
    return openings.c.job_id == job_id, openings.c.hardware == hardware


def _is_open_elsewhere(db: Connection, job_id: JobId, hardware: str) -> bool:
    """Say whether a worker has the job's model open on this class and works with it."""
    is_at_work = (shards.c.state == ShardState.LEASED, shards.c.opening == Stage.OPEN)
    query = select(shards.c.id).where(shards.c.job_id == job_id, shards.c.hardware == hardware, *is_at_work)
    return db.execute(query.limit(1)).first() is not None
