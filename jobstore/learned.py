"""Batch sizes that fitted into a device where a larger one did not; every worker of the class begins with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, or_, select

from jobstore.clock import db_now
from jobstore.tables import learned_batches
from jobstore.upsert import insert_or_update_where

if TYPE_CHECKING:
    from jobstore.schema import ModelBuild

#: Seconds after which a size is tried again in full: what was in the way may be gone.
FORGOTTEN_AFTER_S = 86_400.0


def learned_batch(db: Connection, build: ModelBuild, hardware: str) -> int | None:
    """Give the size that was learned of late, if any."""
    row = learned_batches.c
    query = select(row.max_batch_size).where(
        row.package_digest == build.digest,
        row.backend == build.backend,
        row.quantization == build.quantization,
        row.hardware == hardware,
        row.learned > db_now() - FORGOTTEN_AFTER_S,
    )
    return db.execute(query).scalar_one_or_none()


def learn_batch(db: Connection, build: ModelBuild, hardware: str, max_batch_size: int) -> None:
    """Note a size that fitted; a smaller one that was learned of late stays."""
    values = {
        "package_digest": build.digest,
        "backend": build.backend,
        "quantization": build.quantization,
        "hardware": hardware,
        "max_batch_size": max_batch_size,
        "learned": db_now(),
    }
    row = learned_batches.c
    changes = or_(row.max_batch_size > max_batch_size, row.learned <= db_now() - FORGOTTEN_AFTER_S)
    db.execute(insert_or_update_where(db, learned_batches, values, changes))
