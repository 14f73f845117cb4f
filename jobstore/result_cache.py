"""Predictions of earlier runs by what they were made from: same bytes, same package, same parameters, same prediction.

Rows are written with the outcomes that they come from (`jobstore.recording`), and taken over under their key, in which
the tenant is mixed: nobody finds what another tenant's pictures show. Losing a row costs one computation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, func, select, update

from jobstore.clock import db_now
from jobstore.encoding import from_json, to_sorted_json
from jobstore.service_tables import result_cache
from jobstore.upsert import insert_or_ignore

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from jobstore.connection import Database

#: A result's last use is noted again after so many seconds, so that most lookups write nothing.
TOUCH_AFTER_S = 3600.0
#: Pruning leaves this share of the limit, so that it is not due again at once.
KEPT_SHARE = 0.9


@dataclass(frozen=True, slots=True)
class KeyBase:
    """What a result hangs on beside the bytes of its item.

    Attributes:
        package: digest of the package.
        version: of nightshift: a release may decode or judge better than the one before.
    """

    tenant: str
    package: str
    task: str
    params: Mapping[str, Any]
    version: str

    def keys(self) -> ResultKeys:
        """Give what makes keys."""
        parts = [self.tenant, self.package, self.task, self.params, self.version]
        return ResultKeys(hashlib.sha256(to_sorted_json(parts).encode()).digest())


@dataclass(frozen=True, slots=True)
class ResultKeys:
    """Makes the keys of one job's items."""

    _base: bytes

    def of(self, content: str) -> str:
        """Give the key of an item whose bytes have this sha256, in hexadecimal digits."""
        return hashlib.sha256(self._base + bytes.fromhex(content)).hexdigest()


@dataclass(frozen=True, slots=True)
class KnownResult:
    """A prediction that need not be made again.

    Attributes:
        record: as its task's `to_record` gave it.
        blob: what is kept beside it.
    """

    record: Mapping[str, Any]
    blob: bytes | None = None


@dataclass(frozen=True, slots=True)
class CacheSize:
    """How much is kept, or was removed."""

    results: int
    size_bytes: int


class KnownResults:
    """What a store knows from earlier runs; every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def lookup(self, keys: Collection[str]) -> dict[str, KnownResult]:
        """Give what is known of these keys, and note that it was used."""
        known, stale = self._db.read(lambda db: _lookup(db, keys))
        if stale:
            self._db.write(lambda db: _touch(db, stale))
        return known

    def size(self) -> CacheSize:
        """Say how many results are kept for later runs."""
        return self._db.read(_size)

    def prune(self, max_bytes: int) -> CacheSize:
        """Remove the least recently used results where there are more bytes than `max_bytes`; say how much went."""
        return self._db.write(lambda db: _prune(db, max_bytes))


def _lookup(db: Connection, keys: Collection[str]) -> tuple[dict[str, KnownResult], list[str]]:
    """Give what is known of these keys, and those of which the last use should be noted again."""
    is_stale = (result_cache.c.used < db_now() - TOUCH_AFTER_S).label("is_stale")
    columns = (result_cache.c.key, result_cache.c.record, result_cache.c.blob, is_stale)
    rows = db.execute(select(*columns).where(result_cache.c.key.in_(sorted(keys)))).all()
    known = {row.key: KnownResult(from_json(row.record), row.blob) for row in rows}
    return known, [row.key for row in rows if row.is_stale]


def _touch(db: Connection, keys: Collection[str]) -> None:
    """Note that these results were used now."""
    db.execute(update(result_cache).where(result_cache.c.key.in_(sorted(keys))).values(used=db_now()))


def keep(db: Connection, found: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    """Write results that are not known yet: their keys and the rows of their outcomes.

    In the order of the keys, so that two workers that write the same ones wait for each other and never both ways.
    """
    rows = [
        {"key": key, "record": row["record"], "blob": row["blob"], "size_bytes": _bytes_of(row)}
        for key, row in sorted(found, key=lambda pair: pair[0])
    ]
    if rows:
        db.execute(insert_or_ignore(db, result_cache).values(created=db_now(), used=db_now()), rows)


def _size(db: Connection) -> CacheSize:
    """Say how much is kept."""
    total = func.coalesce(func.sum(result_cache.c.size_bytes), 0)
    count, size_bytes = db.execute(select(func.count(), total).select_from(result_cache)).one()
    return CacheSize(count, int(size_bytes))


def _prune(db: Connection, max_bytes: int) -> CacheSize:
    """Remove the least recently used results where there are more bytes than `max_bytes`; say how much went."""
    before = _size(db)
    if before.size_bytes <= max_bytes:
        return CacheSize(0, 0)
    newest_first = (result_cache.c.used.desc(), result_cache.c.key)
    up_to = func.sum(result_cache.c.size_bytes).over(order_by=newest_first).label("up_to")
    ranked = select(result_cache.c.key, up_to).subquery("ranked")
    surplus = select(ranked.c.key).where(ranked.c.up_to > int(max_bytes * KEPT_SHARE))
    db.execute(delete(result_cache).where(result_cache.c.key.in_(surplus)))
    after = _size(db)
    return CacheSize(before.results - after.results, before.size_bytes - after.size_bytes)


def _bytes_of(row: Mapping[str, Any]) -> int:
    return len(row["record"].encode()) + len(row["blob"] or b"")
