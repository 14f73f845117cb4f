"""The outbox of webhooks: written in the transaction of what it tells of, so that nothing is told that did not happen.

A message may be sent twice, by a sender that died between the answer and its note; the receiver knows it by its id.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, RowMapping, and_, delete, func, insert, literal, select, tuple_, update

from jobstore.aftercare import Webhook, WebhookEvent
from jobstore.clock import db_now
from jobstore.encoding import storable, to_json
from jobstore.errors import DeliveryNotFound
from jobstore.ids import new_id
from jobstore.reading import status
from jobstore.schema import ENDED_STATES, JobId, JobState
from jobstore.service_tables import webhook_deliveries as table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jobstore.connection import Database
    from jobstore.views import JobStatus

#: Kinds of job events after which somebody may be told; whatever else follows from an event follows from one of these.
TOLD_KINDS = frozenset({"started", "gates_failed", JobState.NEEDS_ATTENTION, *ENDED_STATES})


class DeliveryState(StrEnum):
    """pending -> delivered | given_up."""

    PENDING = "pending"  # to be sent at `next_at`; while somebody sends it, when the next one may
    DELIVERED = "delivered"  # the receiver answered 2xx
    GIVEN_UP = "given_up"  # no answer was 2xx for a day, or the receiver is gone


#: Rows of one transaction, so that whoever waits to write waits for a moment.
PRUNED_AT_ONCE = 10_000
#: Those that stay as they are.
ENDED_DELIVERIES = (DeliveryState.DELIVERED, DeliveryState.GIVEN_UP)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one receiver.

    Attributes:
        delivery_id: the message's `webhook-id`.
        tries: also the fence: a note of an earlier try changes nothing.
        age_s: since what it tells of happened.
        last_status: of the last answer; None: there was none.
    """

    delivery_id: str
    tenant: str
    job_id: JobId | None
    url: str
    secret_env: str | None
    event: WebhookEvent
    body: str
    state: DeliveryState
    tries: int
    next_at: float
    last_status: int | None
    last_error: str | None
    created: float
    delivered: float | None
    age_s: float


class Outbox:
    """The webhooks of a store; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def claim(self, limit: int, lease_s: float, job_id: JobId | None = None) -> list[Delivery]:
        """Take messages that are due; whoever does not note their end in `lease_s` seconds lets others send them.

        Args:
            job_id: only those about this job; None: all.
        """
        return self._db.write(lambda db: _claim(db, limit, lease_s, job_id))

    def delivered(self, delivery: Delivery, status_code: int) -> bool:
        """Note that the receiver has a claimed message; False: somebody else sends it by now."""
        values = {"state": DeliveryState.DELIVERED, "delivered": db_now(), "last_error": None}
        return self._note(delivery, {"last_status": status_code, **values})

    def failed(self, delivery: Delivery, status_code: int | None, error: str, retry_s: float | None) -> bool:
        """Note that a claimed message was not taken, and when to send it again; None: never.

        False: somebody else sends it by now.
        """
        later = {"state": DeliveryState.GIVEN_UP} if retry_s is None else {"next_at": db_now() + retry_s}
        return self._note(delivery, {"last_status": status_code, "last_error": storable(error), **later})

    def list(
        self, *, tenant: str | None = None, job_id: JobId | None = None, states: Sequence[DeliveryState] = (),
        limit: int = 50, before: tuple[float, str] | None = None,
    ) -> Sequence[Delivery]:  # fmt: skip
        """List messages, the newest first; no states means all, `before` is `created` and id of the last one known."""
        query = select(table, _age()).order_by(table.c.created.desc(), table.c.id.desc()).limit(limit)
        for column, value in ((table.c.tenant, tenant), (table.c.job_id, job_id)):
            query = query if value is None else query.where(column == value)
        query = query.where(table.c.state.in_(states)) if states else query
        if before is not None:
            query = query.where(tuple_(table.c.created, table.c.id) < tuple_(*map(literal, before)))
        return self._db.read(lambda db: [_delivery(row) for row in db.execute(query).mappings()])

    def resend(self, delivery_id: str, tenant: str | None = None) -> bool:
        """Make a message that no receiver took due now; False: one took it. None as tenant searches all.

        One that is older than a day gets one more try. One that somebody is sending at this moment may come twice.

        Raises:
            DeliveryNotFound.
        """
        return self._db.change(lambda db: _resend(db, delivery_id, tenant))

    def counts(self) -> Mapping[DeliveryState, int]:
        """Count messages by state."""
        query = select(table.c.state, func.count()).group_by(table.c.state)
        return self._db.read(lambda db: {DeliveryState(state): count for state, count in db.execute(query).all()})

    def prune(self, older_than_s: float) -> int:
        """Remove messages that ended longer ago than this; give their number, `PRUNED_AT_ONCE` at most."""
        return self._db.write(lambda db: _prune(db, older_than_s))

    def _note(self, delivery: Delivery, values: dict[str, Any]) -> bool:
        is_held = and_(
            table.c.id == delivery.delivery_id,
            table.c.state == DeliveryState.PENDING,
            table.c.tries == delivery.tries,
        )
        return self._db.change(lambda db: db.execute(update(table).where(is_held).values(values)).rowcount == 1)


def _resend(db: Connection, delivery_id: str, tenant: str | None) -> bool:
    is_it = table.c.id == delivery_id if tenant is None else and_(table.c.id == delivery_id, table.c.tenant == tenant)
    if db.execute(select(table.c.id).where(is_it)).first() is None:
        raise DeliveryNotFound(f"no message {delivery_id}: see `nightshift notify ls`")
    again = update(table).where(is_it, table.c.state != DeliveryState.DELIVERED)
    return db.execute(again.values(state=DeliveryState.PENDING, next_at=db_now())).rowcount == 1


def tell_of_job(
    db: Connection, job_id: JobId, kind: str, details: Mapping[str, Any], receivers: Sequence[Webhook]
) -> None:
    """Write what a job's event of `TOLD_KINDS` is told to its receivers, in the event's transaction."""
    job = status(db, job_id)
    content = {**_described(job), **({"gates": details} if kind == "gates_failed" else {})}
    for event in _events(kind, job):
        tell(db, job.tenant, receivers, event, content, job_id)


def tell(
    db: Connection,
    tenant: str,
    receivers: Sequence[Webhook],
    event: WebhookEvent,
    content: Mapping[str, Any],
    job_id: JobId | None = None,
) -> None:  # fmt: skip
    """Write one message for each receiver that wants the event."""
    now: float = db.execute(select(db_now())).scalar_one()
    for receiver in receivers:
        if event not in receiver.on:
            continue
        delivery_id = new_id()
        body = message(delivery_id, event, now, content)
        row = {"id": delivery_id, "tenant": tenant, "job_id": job_id, "url": receiver.url, "event": event}
        times = {"state": DeliveryState.PENDING, "next_at": now, "created": now}
        db.execute(insert(table).values({**row, **times, "secret_env": receiver.secret_env, "body": body}))


def message(delivery_id: str, event: WebhookEvent, now: float, content: Mapping[str, Any]) -> str:
    """Give the JSON that a receiver gets; `content` is what the event tells of, for example `{"job": ...}`."""
    moment = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return storable(to_json({"id": delivery_id, "type": event, "created_at": moment, **content}))


def _events(kind: str, job: JobStatus) -> Iterator[WebhookEvent]:
    if kind == "started":
        yield WebhookEvent.STARTED
        return
    if kind == "gates_failed":
        yield WebhookEvent.GATES_FAILED
        return
    if kind == JobState.NEEDS_ATTENTION:
        yield WebhookEvent.NEEDS_ATTENTION
        yield WebhookEvent.OVER_FAILURE_RATE  # nothing but failures stops a job so
        return
    yield WebhookEvent.FAILED if job.state == JobState.FAILED else WebhookEvent.FINISHED
    if job.is_over_failure_limit:
        yield WebhookEvent.OVER_FAILURE_RATE


def _described(job: JobStatus) -> dict[str, Any]:
    names = ("total", "ok", "cached", "failed", "skipped", "pending", "objects")
    return {
        "job": {
            "id": job.job_id,
            "name": job.name,
            "state": job.state,
            "reason": job.reason,
            "message": job.message,
            "model": job.model,
            "tags": job.tags,
            "counts": {name: getattr(job, name) for name in names},
            "links": {"job": f"/v1/jobs/{job.job_id}"},  # below the address of whatever server the receiver uses
        }
    }


def _claim(db: Connection, limit: int, lease_s: float, job_id: JobId | None) -> list[Delivery]:
    is_due = and_(table.c.state == DeliveryState.PENDING, table.c.next_at <= db_now())
    if job_id is not None:
        is_due = and_(is_due, table.c.job_id == job_id)
    first = select(table.c.id).where(is_due).order_by(table.c.next_at, table.c.id).limit(limit)
    # Not inside of the UPDATE: where PostgreSQL runs a subquery that locks for each row, its limit is one a row.
    chosen = first.with_for_update(skip_locked=True).cte("chosen")
    change = update(table).where(table.c.id.in_(select(chosen.c.id)), is_due)
    taken = change.values(next_at=db_now() + lease_s, tries=table.c.tries + 1).returning(*table.c, _age())
    return sorted((_delivery(row) for row in db.execute(taken).mappings()), key=lambda each: each.delivery_id)


def _prune(db: Connection, older_than_s: float) -> int:
    """`next_at` of a message that ended is when its last sender's time was over, and has an index."""
    is_over = and_(table.c.state.in_(ENDED_DELIVERIES), table.c.next_at < db_now() - older_than_s)
    oldest = select(table.c.id).where(is_over).order_by(table.c.next_at).limit(PRUNED_AT_ONCE)
    return db.execute(delete(table).where(table.c.id.in_(oldest), is_over)).rowcount


def _age() -> Any:
    return (db_now() - table.c.created).label("age_s")


def _delivery(row: RowMapping) -> Delivery:
    return Delivery(
        delivery_id=row["id"],
        job_id=None if row["job_id"] is None else JobId(row["job_id"]),
        event=WebhookEvent(row["event"]),
        state=DeliveryState(row["state"]),
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = (
    "tenant", "url", "secret_env", "body", "tries", "next_at", "last_status", "last_error", "created", "delivered",
    "age_s",
)  # fmt: skip
