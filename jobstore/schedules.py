"""Jobs that come back by the clock: what people say about them. Who submits them, and when, is in `schedule_runs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, Select, delete, select, update

from jobstore import schedule_runs as runs
from jobstore.clock import db_now
from jobstore.crontimes import CatchUp, check_cron, in_words, next_after
from jobstore.encoding import from_json, is_storable, to_json, to_json_or_none
from jobstore.errors import InvalidSchedule, ScheduleNotFound
from jobstore.file_lock import name_files
from jobstore.ids import new_id
from jobstore.schedule_runs import Overlap, RunClaim, ScheduleRun
from jobstore.schema import DEFAULT_TENANT
from jobstore.service_tables import schedules as table
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from jobstore.aftercare import Webhook
    from jobstore.connection import Database
    from jobstore.schema import JobId


class ScheduleState(StrEnum):
    """Whether the clock counts."""

    ACTIVE = "active"
    PAUSED = "paused"  # times that pass are not made up for


class Applied(StrEnum):
    """What an `apply` did."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class ScheduleSpec:
    """What a person asks for; tenant and name say which schedule it is.

    Attributes:
        job: the job file as data; whoever submits reads it.
        timezone: IANA name.
        webhooks: who is told of missed times; the job's own stand in `job`.
    """

    name: str
    job: Mapping[str, Any]
    cron: str
    timezone: str = "UTC"
    catch_up: CatchUp = CatchUp.LAST
    overlap: Overlap = Overlap.SKIP
    tenant: str = DEFAULT_TENANT
    webhooks: tuple[Webhook, ...] = ()


@dataclass(frozen=True, slots=True)
class Schedule:
    """A schedule as it stands.

    Attributes:
        next_at: seconds since the epoch; None: it is paused, or never comes again.
        now: the database's clock when it was read.
    """

    schedule_id: str
    tenant: str
    name: str
    job: Mapping[str, Any]
    cron: str
    timezone: str
    catch_up: CatchUp
    overlap: Overlap
    state: ScheduleState
    next_at: float | None
    created: float
    updated: float
    now: float

    @property
    def in_words(self) -> str:
        """When it is due, for people."""
        return in_words(self.cron, self.timezone)


class Schedules:
    """The schedules of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def apply(self, spec: ScheduleSpec) -> tuple[Schedule, Applied]:
        """Make a schedule, or change the one of this name; its next time moves only with its cron or zone.

        Raises:
            InvalidSchedule: a cron expression, zone or rule that cannot be; nothing was written.
        """
        _check(spec)
        told: list[Applied] = []

        def once(db: Connection) -> Schedule:
            schedule, applied = _apply(db, spec)
            told.append(applied)
            return schedule

        schedule = self._db.write(once)
        # After a COMMIT whose reply was lost, the next try finds everything as it should be.
        return schedule, told[0] if told[-1] is Applied.UNCHANGED else told[-1]

    def get(self, name: str, tenant: str = DEFAULT_TENANT) -> Schedule:
        """Give one schedule by its name.

        Raises:
            ScheduleNotFound.
        """
        return self._db.read(lambda db: _schedule(_row(db, name, tenant)))

    def list(self, tenant: str | None = None) -> Sequence[Schedule]:
        """List schedules by name; None: of all tenants."""
        query = _read().order_by(table.c.name, table.c.tenant)
        query = query if tenant is None else query.where(table.c.tenant == tenant)
        return self._db.read(lambda db: [_schedule(row) for row in db.execute(query).mappings()])

    def runs(self, schedule_id: str, limit: int = 5) -> Sequence[ScheduleRun]:
        """List the last runs of a schedule, the newest first, each with the state of its job."""
        return self._db.read(lambda db: runs.last_runs(db, schedule_id, limit))

    def pause(self, name: str, tenant: str = DEFAULT_TENANT) -> bool:
        """Stop the clock of a schedule; False: it was paused."""
        return self._db.change(lambda db: _pause(db, name, tenant))

    def resume(self, name: str, tenant: str = DEFAULT_TENANT) -> bool:
        """Go on with the first time that comes; what passed meanwhile is not made up for. False: it was active."""
        return self._db.change(lambda db: _resume(db, name, tenant))

    def remove(self, name: str, tenant: str = DEFAULT_TENANT) -> None:
        """Forget a schedule and the list of its runs; its jobs stay.

        Raises:
            ScheduleNotFound.
        """
        schedule_id = self._db.read(lambda db: _row(db, name, tenant))["id"]
        self._db.write(lambda db: db.execute(delete(table).where(table.c.id == schedule_id)))

    def run_now(self, name: str, tenant: str = DEFAULT_TENANT) -> float:
        """Make a run due at this moment, also of a paused schedule, and give its time, which names it."""
        row = self._db.read(lambda db: _row(db, name, tenant))
        self._db.write(lambda db: runs.add_once(db, row["id"], row["now"]))
        return float(row["now"])

    # -- for whoever submits -----------------------------------------------------------------------------------------

    def look(self) -> int:
        """Write down the times that have passed since the last look, each once; give the number of schedules."""
        return self._db.write(runs.look_at_due)

    def claim(self, owner: str, lease_s: float) -> RunClaim | None:
        """Take the oldest run that is due and that its schedule's overlap rule allows; None: there is none."""
        return self._db.write(lambda db: runs.claim(db, owner, lease_s))

    def renew(self, claim: RunClaim, lease_s: float) -> bool:
        """Lengthen a claim; False: somebody else has it by now."""
        return self._db.change(lambda db: runs.renew(db, claim, lease_s))

    def submitted(self, claim: RunClaim, job_id: JobId) -> bool:
        """Note the job of a claimed run; False: somebody else has it by now, and finds the same job."""
        return self._db.change(lambda db: runs.submitted(db, claim, job_id))

    def failed(self, claim: RunClaim, message: str, retry_s: float | None) -> bool:
        """Note that a run could not be submitted, and when to try again; None: never, and its receivers are told."""
        return self._db.change(lambda db: runs.failed(db, claim, message, retry_s))


def _check(spec: ScheduleSpec) -> None:
    if not spec.name or not is_storable(spec.name):
        raise InvalidSchedule(f"name {spec.name!r}: expected some text, by which the schedule is found again")
    if spec.catch_up is CatchUp.ALL and spec.overlap is Overlap.SKIP:
        raise InvalidSchedule(
            "catch_up: all with overlap: skip would run the first missed time and skip the others; "
            "expected overlap: queue or allow"
        )
    check_cron(spec.cron, spec.timezone)


def _apply(db: Connection, spec: ScheduleSpec) -> tuple[Schedule, Applied]:
    name_files(db)
    wanted: dict[str, Any] = {
        "job": to_json(spec.job),
        "cron": spec.cron,
        "timezone": spec.timezone,
        "catch_up": spec.catch_up,
        "overlap": spec.overlap,
        "webhooks": to_json_or_none(spec.webhooks or None),
    }
    now: float = db.execute(select(db_now())).scalar_one()
    key = {"tenant": spec.tenant, "name": spec.name}
    first = {"id": new_id(), "next_at": next_after(spec.cron, spec.timezone, now), "state": ScheduleState.ACTIVE}
    new = insert_or_ignore(db, table).values(**key, **wanted, **first, created=now, updated=now)
    if db.execute(new.returning(table.c.id)).scalar_one_or_none() is not None:
        return _schedule(_row(db, spec.name, spec.tenant)), Applied.CREATED
    row = _row(db, spec.name, spec.tenant, is_locked=True)
    if all(row[name] == value for name, value in wanted.items()):
        return _schedule(row), Applied.UNCHANGED
    is_moved = (row["cron"], row["timezone"]) != (spec.cron, spec.timezone)
    if is_moved and row["state"] == ScheduleState.ACTIVE:
        wanted["next_at"] = first["next_at"]
    db.execute(update(table).where(table.c.id == row["id"]).values(**wanted, updated=now))
    return _schedule(_row(db, spec.name, spec.tenant)), Applied.CHANGED


def _pause(db: Connection, name: str, tenant: str) -> bool:
    row = _row(db, name, tenant, is_locked=True)
    values = {"state": ScheduleState.PAUSED, "next_at": None, "updated": db_now()}
    change = update(table).where(table.c.id == row["id"], table.c.state == ScheduleState.ACTIVE)
    return db.execute(change.values(values)).rowcount == 1


def _resume(db: Connection, name: str, tenant: str) -> bool:
    row = _row(db, name, tenant, is_locked=True)
    next_at = next_after(row["cron"], row["timezone"], row["now"])
    values = {"state": ScheduleState.ACTIVE, "next_at": next_at, "updated": db_now()}
    change = update(table).where(table.c.id == row["id"], table.c.state == ScheduleState.PAUSED)
    return db.execute(change.values(values)).rowcount == 1


def _read() -> Select[Any]:
    return select(table, db_now().label("now"))


def _row(db: Connection, name: str, tenant: str, *, is_locked: bool = False) -> RowMapping:
    query = _read().where(table.c.name == name, table.c.tenant == tenant)
    row = db.execute(query.with_for_update() if is_locked else query).mappings().one_or_none()
    if row is None:
        raise ScheduleNotFound(f"no schedule is called {name!r}: see `nightshift schedule ls`")
    return row


def _schedule(row: RowMapping) -> Schedule:
    return Schedule(
        schedule_id=row["id"],
        job=from_json(row["job"]),
        catch_up=CatchUp(row["catch_up"]),
        overlap=Overlap(row["overlap"]),
        state=ScheduleState(row["state"]),
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = ("tenant", "name", "cron", "timezone", "next_at", "created", "updated", "now")
