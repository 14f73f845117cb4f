"""Writing a job: items are spooled to disk first, so that the transaction is short and can be repeated."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Self

import msgspec
from sqlalchemy import Connection, insert, select, text

from jobstore.aftercare import aftercare_problems
from jobstore.clock import db_now
from jobstore.encoding import is_storable, to_json, to_json_or_none, to_sorted_json
from jobstore.errors import ClientTokenReused, InvalidJob
from jobstore.events import add_event
from jobstore.file_lock import name_files
from jobstore.ids import new_id
from jobstore.schema import ItemRef, JobId, JobSpec, JobState, ShardState
from jobstore.tables import items, jobs, shards
from jobstore.upsert import insert_or_ignore
from jobstore.wishes import check_wishes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import TracebackType

#: Items a shard where the job does not say.
DEFAULT_SHARD_SIZE = 64
#: The same where every item is a video or a part of one: each is work enough, and several workers should share them.
VIDEO_SHARD_SIZE = 1
#: A job of so many items is large: it begins with a canary, and its last shards are smaller.
LARGE_JOB_ITEMS = 512
#: Items of a large job that run alone, in shards small enough that several workers help.
CANARY_ITEMS, CANARY_SHARD_SIZE = 64, 8
#: A job of so many items repays measuring every backend: about 20 s, once a machine (docs/decisions/0011).
MEASURED_JOB_ITEMS = 10_000
#: The last tenth of a large job is cut into halves and quarters of its shards, but not into less than this.
TAIL_SHARE, TAIL_SHARD_SIZE = 0.1, 8
#: Rows of one executemany: large enough that the call costs nothing, small enough that memory stays flat.
_ROWS_A_CALL = 2_000
_SPOOL_IN_MEMORY_BYTES = 8 * 2**20
#: URI, metadata as JSON, and the part of a video or twice None.
_ItemRow = tuple[str, str | None, float | None, float | None]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_ItemRow).decode


class ItemSpool:
    """The items of a job on their way to SQL: walked once from the source, read as often as a transaction needs.

    A source may be slow (an S3 listing) and is often a generator; SQLite has one writer, who must not wait for it.
    """

    def __init__(self, refs: Iterable[ItemRef]) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_SPOOL_IN_MEMORY_BYTES)  # noqa: SIM115 - closed by __exit__
        self.total = self.clips = 0
        self.first_uri = ""
        try:
            self._fill(refs)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def lines(self) -> Iterator[bytes]:
        """Give `[uri, metadata as JSON or null, start_s, end_s]` as a line of JSON for each item, in order."""
        self._file.seek(0)
        return iter(self._file)

    def _fill(self, refs: Iterable[ItemRef]) -> None:
        for ref in refs:
            if not ref.uri or not is_storable(ref.uri):
                raise InvalidJob(f"item {self.total} has the URI {ref.uri!r}: expected UTF-8 text without NUL")
            self.first_uri = self.first_uri or ref.uri
            part = (None, None) if ref.clip is None else (ref.clip.start_s, ref.clip.end_s)
            self._file.write(_encode((ref.uri, to_json_or_none(ref.metadata), *part)) + b"\n")
            self.total += 1
            self.clips += ref.clip is not None


def check_spec(spec: JobSpec) -> None:
    """Raise `InvalidJob` for what can never run."""
    problems = [
        (not spec.model, "no model: name one, or give the path of a model package"),
        (not spec.hardware, "no hardware class: expected at least one, for example 'cpu'"),
        (spec.shard_size is not None and spec.shard_size < 1, f"shard_size {spec.shard_size}: expected 1 or more"),
        (not 0 <= spec.max_failure_rate <= 1, f"max_failure_rate {spec.max_failure_rate}: expected 0 to 1"),
        (abs(spec.priority) >= 2**31, f"priority {spec.priority}: expected a 32-bit integer"),
        (
            len(set(spec.hardware)) < len(spec.hardware),
            f"hardware {', '.join(spec.hardware)}: expected each class once",
        ),
        ((spec.max_failures or 0) < 0, f"max_failures {spec.max_failures}: expected 0 or more"),
        ((spec.canary_items or 0) < 0, f"canary_items {spec.canary_items}: expected 0 (none) or more"),
    ]
    texts = {"model": spec.model, "name": spec.name, "tenant": spec.tenant, "client_token": spec.client_token or ""}
    problems += [
        (not is_storable(text), f"{name} {text!r}: no NUL, no lone surrogates") for name, text in texts.items()
    ]
    found = [words for wrong, words in problems if wrong] + check_wishes(spec.wishes)
    found += aftercare_problems(spec.webhooks, spec.output)
    if found:
        raise InvalidJob("; ".join(found))


def plan_canary(total: int, wanted: int | None) -> int:
    """Give how many first items run alone: what was asked for, else 64 of a large job; 0 where nothing would follow."""
    items = (CANARY_ITEMS if total >= LARGE_JOB_ITEMS else 0) if wanted is None else wanted
    return items if items < total else 0


def plan_shards(total: int, shard_size: int, canary: int = 0) -> Iterator[tuple[int, int]]:
    """Cut `total` items into closed ranges of at most `shard_size`.

    No range lies across the canary's end. The last ranges of a large job are smaller, so that its workers end together.
    """
    tail = int(total * TAIL_SHARE) if total >= LARGE_JOB_ITEMS else 0
    half, quarter = (min(shard_size, max(TAIL_SHARD_SIZE, shard_size // part)) for part in (2, 4))
    body = max(canary, total - tail)
    yield from _cut(0, canary, min(shard_size, CANARY_SHARD_SIZE))
    yield from _cut(canary, body, shard_size)
    yield from _cut(body, total - tail // 2, half)
    yield from _cut(max(body, total - tail // 2), total, quarter)


def _cut(first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    for start in range(first, end, size):
        yield start, min(start + size, end) - 1


def job_with_token(db: Connection, tenant: str, client_token: str) -> JobId | None:
    """Find the job that an earlier submit made with the same tenant and token."""
    query = select(jobs.c.id).where(jobs.c.tenant == tenant, jobs.c.client_token == client_token)
    found = db.execute(query).scalar_one_or_none()
    return None if found is None else JobId(found)


def job_of_token(db: Connection, spec: JobSpec) -> JobId | None:
    """Find the job that an earlier submit made with the same tenant and token.

    Raises:
        ClientTokenReused: that submit asked for something else.
    """
    if spec.client_token is None:
        return None
    is_its = (jobs.c.tenant == spec.tenant, jobs.c.client_token == spec.client_token)
    found = db.execute(select(jobs.c.id, jobs.c.request_hash).where(*is_its)).one_or_none()
    if found is None:
        return None
    if found.request_hash not in (None, request_hash(spec)):
        raise ClientTokenReused(
            f"the client token {spec.client_token!r} belongs to job {found.id}, which was asked for in other words; "
            "what differs cannot be said, since only a hash of them was kept: repeat the very same request, "
            "or give this one a token of its own"
        )
    return JobId(found.id)


def request_hash(spec: JobSpec) -> str:
    """Give what tells a request from others with the same client token.

    Made from the job's fields where the caller has no better one. Its times are left out, since "in eight hours" is
    another moment whenever the same request is repeated; so are its items, which a repeated request need not list.
    """
    if spec.request_hash is not None:
        return spec.request_hash
    asked = {name: value for name, value in asdict(spec).items() if name not in _NOT_OF_THE_REQUEST}
    return hashlib.sha256(to_sorted_json(asked).encode()).hexdigest()


_NOT_OF_THE_REQUEST = frozenset({"client_token", "request_hash", "deadline", "expires"})


def insert_job(db: Connection, job_id: JobId, spec: JobSpec, spool: ItemSpool, queue: str) -> JobId:
    """Write the job with items and shards; return its id, or that of the job which the client token already has.

    `job_id` is made before the first try: where it exists, an earlier try was committed and only its answer was lost.
    """
    name_files(db)
    cut = plan(spool.total, spool.clips, spec.shard_size, spec.canary_items)
    row = job_row(spec) | started_row(spec, spool.total, spool.first_uri, cut) | {"id": job_id, "created": db_now()}
    if db.execute(insert_or_ignore(db, jobs).values(row).returning(jobs.c.id)).scalar_one_or_none() is None:
        return job_of_token(db, spec) or job_id
    insert_items(db, job_id, spool, 0)
    insert_shards(db, job_id, cut, queue, spec.hardware[0])
    return job_id


@dataclass(frozen=True, slots=True)
class Cut:
    """How a job's items are divided.

    Attributes:
        ranges: of the shards, closed, in order.
        canary: first items that run alone; 0: none.
    """

    ranges: tuple[tuple[int, int], ...]
    canary: int


def plan(total: int, clips: int, shard_size: int | None, canary_items: int | None) -> Cut:
    """Divide `total` items, of which `clips` are videos or parts of them; None is left to us. Pure."""
    size = shard_size or (VIDEO_SHARD_SIZE if clips == total else DEFAULT_SHARD_SIZE)
    canary = plan_canary(total, canary_items)
    return Cut(tuple(plan_shards(total, size, canary)), canary)


def insert_shards(db: Connection, job_id: JobId, cut: Cut, queue: str, hardware: str) -> None:
    """Write the shards of a job whose items are there, and tell that it was submitted."""
    job = db.execute(select(jobs.c.created, jobs.c.total).where(jobs.c.id == job_id)).one()
    plain = {"job_id": job_id, "queue": queue, "hardware": hardware, "created": job.created}
    db.execute(insert(shards), [plain | _shard_row(seq, bounds, cut.canary) for seq, bounds in enumerate(cut.ranges)])
    details = {"items": job.total, "shards": len(cut.ranges), "queue": queue, "canary": cut.canary}
    add_event(db, job_id, "submitted", details)


def insert_items(db: Connection, job_id: JobId, spool: ItemSpool, first_idx: int) -> None:
    """Write items, the first of them as number `first_idx`; a statement for every `_ROWS_A_CALL` of them."""
    lines, idx = spool.lines(), first_idx
    write = _insert_as_json if db.dialect.name == "postgresql" else _insert_many
    while chunk := list(islice(lines, _ROWS_A_CALL)):
        write(db, job_id, idx, chunk)
        idx += len(chunk)


def _insert_many(db: Connection, job_id: JobId, first_idx: int, lines: Sequence[bytes]) -> None:
    names = ("uri", "metadata", "start_s", "end_s")
    rows = (dict(zip(names, _decode(line), strict=True)) for line in lines)
    db.execute(insert(items), [{"job_id": job_id, "idx": idx, **row} for idx, row in enumerate(rows, first_idx)])


def _insert_as_json(db: Connection, job_id: JobId, first_idx: int, lines: Sequence[bytes]) -> None:
    """Hand the lines over as they are: rows as parameters took PostgreSQL's driver three times as long."""
    array = b"[" + b",".join(lines) + b"]"
    db.execute(_INSERT_AS_JSON, {"its_job": job_id, "first_idx": first_idx, "lines": array.decode()})


#: `->>` gives a text, and NULL for null.
_INSERT_AS_JSON = text("""
INSERT INTO items (job_id, idx, uri, metadata, start_s, end_s)
SELECT :its_job, :first_idx + CAST(place AS integer) - 1, line ->> 0, line ->> 1,
    CAST(line ->> 2 AS double precision), CAST(line ->> 3 AS double precision)
FROM json_array_elements(CAST(:lines AS json)) WITH ORDINALITY AS each_line (line, place)
""")


def usual_name(model: str, first_uri: str, total: int) -> str:
    """Give the name of a job that was given none, `yolov8n.onnx: photos`: its first item's folder, or its only item."""
    *_, folder, file = ["", *(part for part in first_uri.split("/") if part)]
    return f"{model.rstrip('/').rpartition('/')[2]}: {file if total == 1 else folder or file}"


def started_row(spec: JobSpec, total: int, first_uri: str, cut: Cut) -> dict[str, Any]:
    """Give what a job's row says once its items are known."""
    is_measured = total >= MEASURED_JOB_ITEMS and "strategy" not in spec.wishes
    return {
        "name": spec.name or usual_name(spec.model, first_uri, total),
        "wishes": to_json({**spec.wishes, "strategy": "measured"} if is_measured else spec.wishes),
        "canary_items": cut.canary,
        "state": JobState.CANARY if cut.canary else JobState.RUNNING,
        "total": total,
        "shards_left": len(cut.ranges),
    }


def job_row(spec: JobSpec) -> dict[str, Any]:
    """Give what a job's row says whatever its items are."""
    return {
        "tenant": spec.tenant,
        "client_token": spec.client_token,
        "request_hash": None if spec.client_token is None else request_hash(spec),
        "model": spec.model,
        "params": to_json(spec.params),
        "hardware": to_json(spec.hardware),
        "tags": to_json(spec.tags),
        "priority": spec.priority,
        "max_failure_rate": spec.max_failure_rate,
        "max_failures": spec.max_failures,
        "deadline": spec.deadline,
        "expires": spec.expires,
        "use_cache": int(spec.use_cache),
        "video": None if spec.video is None else to_json(spec.video.record()),
        "schedule_id": spec.schedule_id,
        "webhooks": to_json_or_none(spec.webhooks or None),
        "output": to_json_or_none(spec.output),
        "gates": to_json_or_none(spec.gates),
    }


def _shard_row(seq: int, bounds: tuple[int, int], canary: int) -> dict[str, Any]:
    first, last = bounds
    is_due = not canary or first < canary
    return {
        "id": new_id(),
        "seq": seq,
        "first_idx": first,
        "last_idx": last,
        "size": last - first + 1,
        "state": ShardState.PENDING if is_due else ShardState.HELD,
    }
