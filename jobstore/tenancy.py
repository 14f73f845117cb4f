"""Shares of tenants: how much of a queue's window a tenant gets beside the others."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from jobstore.clock import db_now
from jobstore.errors import InvalidJob
from jobstore.tables import tenants
from jobstore.upsert import insert_or_update

if TYPE_CHECKING:
    from sqlalchemy import Connection


def set_weight(db: Connection, tenant: str, weight: float) -> None:
    """Give a tenant its weight; the window counts its shards divided by it.

    Raises:
        InvalidJob: no finite number above 0.
    """
    if not 0 < weight < math.inf:
        raise InvalidJob(f"weight {weight} of tenant {tenant!r}: expected a number above 0")
    values = {"name": tenant, "weight": weight, "created": db_now()}
    db.execute(insert_or_update(db, tenants, "name", values, kept=frozenset({"created"})))
