"""Times at which schedules were due: written down once, claimed by one submitter at a time, ended with a job or words.

Any number of submitters may look and claim. A time is one row, whose key makes it one; a claim is a lease; and a
submit that is repeated carries the same client token, so that a claimer who died after its submit left no second job.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, or_, select, update

from jobstore.aftercare import Webhook, WebhookEvent
from jobstore.clock import db_now
from jobstore.crontimes import CatchUp, look
from jobstore.encoding import from_json, storable
from jobstore.outbox import tell
from jobstore.schema import ENDED_STATES, JobId, JobState
from jobstore.service_tables import gate_verdicts, schedules
from jobstore.service_tables import schedule_runs as table
from jobstore.submit import job_with_token
from jobstore.tables import jobs
from jobstore.upsert import insert_or_ignore
from jobstore.views import GateState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Tries after which a run that kept failing, or kept losing its submitter, is given up.
MAX_TRIES = 5
#: Seconds that ended runs are kept.
KEPT_S = 90 * 86_400.0


class Overlap(StrEnum):
    """What happens to a time that comes while an earlier run's job has not ended."""

    SKIP = "skip"  # it is left out
    QUEUE = "queue"  # it waits for the job's end
    ALLOW = "allow"  # both run


class RunState(StrEnum):
    """due -> claimed -> submitted | skipped | failed; a missed one is missed from the start."""

    DUE = "due"  # nobody submits it yet, or it waits for an earlier run's end, or for its next try
    CLAIMED = "claimed"  # somebody submits it until `claimed_until`
    SUBMITTED = "submitted"  # its job is accepted
    SKIPPED = "skipped"  # an earlier run's job had not ended
    MISSED = "missed"  # nobody looked in time
    FAILED = "failed"  # it could not be submitted; `message` says why


_ENDED = (RunState.SUBMITTED, RunState.SKIPPED, RunState.MISSED, RunState.FAILED)


@dataclass(frozen=True, slots=True)
class ScheduleRun:
    """One time of a schedule.

    Attributes:
        due: seconds since the epoch.
        message: why it failed, was skipped or missed.
        job_state: of its job now; None: it has none.
        gates: what its job's gates said; None: it has none, or has not ended.
    """

    schedule_id: str
    due: float
    state: RunState
    job_id: JobId | None
    message: str | None
    tries: int
    created: float
    job_state: JobState | None
    gates: GateState | None = None


@dataclass(frozen=True, slots=True)
class RunClaim:
    """A run that this submitter, and no other, may submit until the claim's lease ends.

    Attributes:
        tries: also the fence: a note of an earlier try changes nothing.
        job: the job file as data.
        client_token: what a submit of this run has to carry.
    """

    schedule_id: str
    tenant: str
    name: str
    due: float
    owner: str
    tries: int
    job: Mapping[str, Any]
    client_token: str


def look_at_due(db: Connection) -> int:
    """Write the times that passed since the last look, and when each schedule comes next; give their number."""
    is_due = (schedules.c.state == "active", schedules.c.next_at <= db_now())
    query = select(schedules, db_now().label("now")).where(*is_due).order_by(schedules.c.id)
    found = db.execute(query.with_for_update(skip_locked=True)).mappings().all()
    for row in found:
        due = look(row["cron"], row["timezone"], CatchUp(row["catch_up"]), row["next_at"], row["now"])
        words = "nobody looked at the time it was due"
        _add(db, row, [(moment, RunState.DUE, None) for moment in due.runs])
        if _add(db, row, [(moment, RunState.MISSED, words) for moment in due.missed]):
            _tell_missed(db, row, due.missed, "not_looked", words)
        db.execute(update(schedules).where(schedules.c.id == row["id"]).values(next_at=due.next_at))
        is_old = (table.c.state.in_(_ENDED), table.c.due < row["now"] - KEPT_S)
        db.execute(delete(table).where(table.c.schedule_id == row["id"], *is_old))
    return len(found)


def add_once(db: Connection, schedule_id: str, due: float) -> None:
    """Make a run due at a moment that was chosen before, so that a second try makes no second run."""
    values = {"schedule_id": schedule_id, "due": due, "state": RunState.DUE, "created": due}
    db.execute(insert_or_ignore(db, table).values(values))


def claim(db: Connection, owner: str, lease_s: float) -> RunClaim | None:
    """Take the oldest claimable run; end those that overlap, were given up or have their job already on the way."""
    while (schedule := _locked_schedule(db)) is not None:
        # A second statement, so that it sees what whoever held the schedule's lock before us has written.
        query = select(table).where(table.c.schedule_id == schedule["id"], _is_claimable())
        row = db.execute(query.order_by(table.c.due).limit(1)).mappings().one_or_none()
        if row is None:
            return None
        token = f"schedule:{schedule['id']}:{row['due']!r}"
        if _end_without_submit(db, schedule, row, token):
            continue
        taken = {"state": RunState.CLAIMED, "owner": owner, "claimed_until": db_now() + lease_s}
        db.execute(update(table).where(_is_row(row)).values(taken | {"tries": row["tries"] + 1}))
        plain = {name: schedule[name] for name in ("tenant", "name")}
        job = from_json(schedule["job"])
        return RunClaim(schedule["id"], due=row["due"], owner=owner, tries=row["tries"] + 1, job=job,
                        client_token=token, **plain)  # fmt: skip
    return None


def renew(db: Connection, held: RunClaim, lease_s: float) -> bool:
    """Lengthen a claim; False: somebody else has it by now."""
    return db.execute(update(table).where(_is_held(held)).values(claimed_until=db_now() + lease_s)).rowcount == 1


def submitted(db: Connection, held: RunClaim, job_id: JobId) -> bool:
    """Note the job of a claimed run; False: somebody else has it by now."""
    values = {"state": RunState.SUBMITTED, "job_id": job_id, "message": None, "claimed_until": None}
    return db.execute(update(table).where(_is_held(held)).values(values)).rowcount == 1


def failed(db: Connection, held: RunClaim, message: str, retry_s: float | None) -> bool:
    """Note that a claimed run could not be submitted; with no further try its schedule's receivers are told.

    A run whose job is there all the same, by a submit whose answer was lost, is submitted.
    """
    if (job_id := job_with_token(db, held.tenant, held.client_token)) is not None:
        return submitted(db, held, job_id)
    is_last = retry_s is None or held.tries >= MAX_TRIES
    until = None if retry_s is None else db_now() + retry_s
    values = {"state": RunState.FAILED if is_last else RunState.DUE, "message": storable(message), "owner": None}
    change = update(table).where(_is_held(held)).values(values | {"claimed_until": None if is_last else until})
    if not db.execute(change).rowcount:
        return False
    if is_last:
        row = db.execute(select(schedules).where(schedules.c.id == held.schedule_id)).mappings().one()
        _tell_missed(db, row, (held.due,), "not_submitted", message)
    return True


def last_runs(db: Connection, schedule_id: str, limit: int) -> list[ScheduleRun]:
    """List a schedule's runs, the newest first."""
    query = (
        select(table, jobs.c.state.label("job_state"), gate_verdicts.c.state.label("gate_state"))
        .outerjoin(jobs, jobs.c.id == table.c.job_id)
        .outerjoin(gate_verdicts, gate_verdicts.c.job_id == table.c.job_id)
        .where(table.c.schedule_id == schedule_id)
        .order_by(table.c.due.desc())
        .limit(limit)
    )
    return [_run(row) for row in db.execute(query).mappings()]


def _locked_schedule(db: Connection) -> RowMapping | None:
    """Lock a schedule that has a claimable run: of two claimers at once, each gets another one."""
    has_run = select(table.c.schedule_id).where(table.c.schedule_id == schedules.c.id, _is_claimable()).exists()
    query = select(schedules).where(has_run).order_by(schedules.c.id).limit(1)
    return db.execute(query.with_for_update(skip_locked=True)).mappings().one_or_none()


def _is_claimable() -> ColumnElement[bool]:
    """Due by itself and by its schedule's overlap rule; one that is to be skipped counts, so that it is ended."""
    is_free = or_(table.c.claimed_until.is_(None), table.c.claimed_until < db_now())
    other = table.alias("other")
    overlap = select(schedules.c.overlap).where(schedules.c.id == table.c.schedule_id).scalar_subquery()
    is_other = and_(other.c.schedule_id == table.c.schedule_id, other.c.due != table.c.due)
    is_submitting = select(other.c.due).where(is_other, other.c.state == RunState.CLAIMED).correlate(table).exists()
    rule = or_(
        overlap == Overlap.ALLOW,
        and_(~is_submitting, or_(overlap == Overlap.SKIP, ~_works(table.c.schedule_id, table.c.due).exists())),
    )
    return and_(table.c.state.in_([RunState.DUE, RunState.CLAIMED]), is_free, rule)


def _works(schedule_id: Any, due: Any) -> Any:
    """Jobs of a schedule's other runs that have not ended; a stopped one has not."""
    other = table.alias("earlier")
    return (
        select(other.c.job_id)
        .join(jobs, jobs.c.id == other.c.job_id)
        .where(other.c.schedule_id == schedule_id, other.c.due != due, jobs.c.state.not_in(ENDED_STATES))
    )


def _end_without_submit(db: Connection, schedule: RowMapping, row: RowMapping, token: str) -> bool:
    """End a run whose job exists, whose tries are used up, or that overlaps. False: it is to be submitted."""
    if (job_id := job_with_token(db, schedule["tenant"], token)) is not None:
        _end(db, row, RunState.SUBMITTED, None, job_id)
        return True
    if row["tries"] >= MAX_TRIES:
        words = f"whoever submitted it was lost {MAX_TRIES} times"
        _end(db, row, RunState.FAILED, words)
        _tell_missed(db, schedule, (row["due"],), "not_submitted", words)
        return True
    if schedule["overlap"] != Overlap.SKIP:
        return False
    working = db.execute(_works(schedule["id"], row["due"]).limit(1)).scalar_one_or_none()
    if working is None:
        return False
    words = f"job {working} of an earlier run had not ended"
    _end(db, row, RunState.SKIPPED, words)
    _tell_missed(db, schedule, (row["due"],), "overlap", words)
    return True


def _end(db: Connection, row: RowMapping, state: RunState, message: str | None, job_id: str | None = None) -> None:
    values = {"state": state, "message": message, "job_id": job_id, "claimed_until": None}
    db.execute(update(table).where(_is_row(row)).values(values))


def _add(db: Connection, row: RowMapping, times: Sequence[tuple[float, RunState, str | None]]) -> int:
    """Write runs that are not there yet; give their number."""
    added = 0
    for due, state, words in times:
        new = {"schedule_id": row["id"], "due": due, "state": state, "message": words, "created": row["now"]}
        added += db.execute(insert_or_ignore(db, table).values(new)).rowcount
    return added


def _tell_missed(db: Connection, row: RowMapping, times: Sequence[float], reason: str, words: str) -> None:
    receivers = msgspec.convert(from_json(row["webhooks"]) or [], list[Webhook])
    missed = {"count": len(times), "first": times[0], "last": times[-1], "reason": reason, "message": words}
    content = {"schedule": {"id": row["id"], "name": row["name"]}, "missed": missed}
    tell(db, row["tenant"], receivers, WebhookEvent.MISSED, content)


def _is_row(row: RowMapping) -> ColumnElement[bool]:
    return and_(table.c.schedule_id == row["schedule_id"], table.c.due == row["due"])


def _is_held(held: RunClaim) -> ColumnElement[bool]:
    return and_(
        table.c.schedule_id == held.schedule_id,
        table.c.due == held.due,
        table.c.state == RunState.CLAIMED,
        table.c.owner == held.owner,
        table.c.tries == held.tries,
    )


def _run(row: RowMapping) -> ScheduleRun:
    return ScheduleRun(
        state=RunState(row["state"]),
        job_id=None if row["job_id"] is None else JobId(row["job_id"]),
        job_state=None if row["job_state"] is None else JobState(row["job_state"]),
        gates=None if row["gate_state"] is None else GateState(row["gate_state"]),
        **{name: row[name] for name in ("schedule_id", "due", "message", "tries", "created")},
    )
