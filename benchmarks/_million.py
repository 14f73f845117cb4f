"""What a job of a million items is made from: a manifest, a bucket's listing, outcomes without a model's work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
from sqlalchemy import text

from jobstore.connection import make_engine
from jobstore.schema import JobId

KEYS_A_PAGE = 1000
#: Of so many items one has failed, by one of `CAUSES`; more, and the job would stop. Of so many one has no object.
FAILED_OF, EMPTY_OF = 50, 7
CAUSES = ("not_an_image", "image_truncated", "fetch_not_found", "fetch_timeout")
_SHARDS_IN_HAND = 8
_CLASSES = ("person", "bicycle", "car", "motorcycle", "bus", "truck", "dog", "cat")
_BOXES = {
    "image_hw": [1080, 1920],
    "xyxy": [[101.25, 200.5, 340.75, 610.0], [900.0, 33.5, 1204.25, 350.5], [12.0, 700.25, 96.5, 1002.75]],
    "class_id": [0, 2, 5],
    "class_name": ["person", "car", "truck"],
    "confidence": [0.9231, 0.7754, 0.4412],
}
_NOTHING = {**_BOXES, "xyxy": [], "class_id": [], "class_name": [], "confidence": []}
_TIMINGS = {"fetch": 3.1, "decode": 6.4, "preprocess": 1.2, "forward": 11.9, "postprocess": 0.3}


def write_manifest(path: Path, items: int) -> None:
    """Write a CSV of items with a column of metadata."""
    with path.open("w", encoding="ascii") as out:
        out.write("uri,camera\n")
        out.writelines(f"{_key(n)},{n % 40}\n" for n in range(items))


@contextmanager
def listing_server(items: int) -> Iterator[str]:
    """Serve the pages of a bucket's listing as S3 does (ListObjectsV2), over HTTP; give the address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            body = _page(int(asked.get("continuation-token", ["0"])[0]), items)
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 (the base class's name)
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def label(database_url: str, job_id: JobId, done: int) -> None:
    """Write outcomes for the first `done` items of a job, and its books; shards beyond are in hand, or wait.

    By the database itself: what is measured is what comes afterwards. Then the tables are vacuumed, as autovacuum does
    every few minutes of the hours that such a job takes: counting failures reads their index alone where it did.
    """
    record, nothing, timings = (msgspec.json.encode(each).decode() for each in (_BOXES, _NOTHING, _TIMINGS))
    told = {
        "job": job_id, "done": done, "record": record, "nothing": nothing, "timings": timings,
        "classes": msgspec.json.encode(_CLASSES).decode(), "in_hand": _SHARDS_IN_HAND,
    }  # fmt: skip
    engine = make_engine(database_url)
    with engine.begin() as db:
        for statement in (_OUTCOMES, _ENDED_SHARDS, _SHARDS_IN_WORK, _JOB, _EVENT):
            needed = {name: value for name, value in told.items() if f":{name}" in statement}
            db.execute(text(statement), needed)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
        db.execute(text("VACUUM ANALYZE outcomes, shards, jobs"))
    engine.dispose()


def _page(first: int, items: int) -> bytes:
    end = min(first + KEYS_A_PAGE, items)
    contents = "".join(
        f"<Contents><Key>{_key(n)[1:]}</Key><LastModified>2026-11-20T03:00:00.000Z</LastModified>"
        f"<ETag>&quot;{n:032x}&quot;</ETag><Size>{200_000 + n % 1000}</Size><StorageClass>STANDARD</StorageClass>"
        "</Contents>"
        for n in range(first, end)
    )
    more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < items else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>photos</Name><Prefix>pictures/</Prefix><KeyCount>{end - first}</KeyCount>"
        f"<MaxKeys>{KEYS_A_PAGE}</MaxKeys>"
        f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}{contents}</ListBucketResult>"
    ).encode("ascii")


def _key(number: int) -> str:
    return f"/pictures/camera_{number * 40 // 1_000_000:02d}/frame_{number:08d}.jpg"


_IS_FAILED = f"n % {FAILED_OF} = {FAILED_OF - 1}"
_CAUSE = "CASE n / 50 % 4 " + " ".join(f"WHEN {at} THEN '{code}'" for at, code in enumerate(CAUSES)) + " END"
_OUTCOMES = f"""
INSERT INTO outcomes (job_id, idx, frame, state, record, timings_ms, error_code, error_message, attempt, created)
SELECT :job, n, 0, CASE WHEN {_IS_FAILED} THEN 'failed' ELSE 'ok' END,
    CASE WHEN {_IS_FAILED} THEN NULL WHEN n % {EMPTY_OF} = 0 THEN :nothing ELSE :record END,
    CASE WHEN {_IS_FAILED} THEN NULL ELSE :timings END,
    CASE WHEN {_IS_FAILED} THEN {_CAUSE} END, CASE WHEN {_IS_FAILED} THEN 'what was found' END,
    1, extract(epoch FROM now())
FROM generate_series(0, CAST(:done AS integer) - 1) AS n
"""  # noqa: S608 (constants of this file)
_FAILING = f"((last_idx + 1) / {FAILED_OF} - first_idx / {FAILED_OF})"  # by `_IS_FAILED`
_ENDED_SHARDS = f"""
UPDATE shards SET state = 'done', owner = NULL, leased_at = created, ended = created + 60,
    ok = size - {_FAILING}, failed = {_FAILING}, objects = (size - {_FAILING}) * 3
WHERE job_id = :job AND last_idx < :done
"""  # noqa: S608 (constants of this file)
_SHARDS_IN_WORK = """
UPDATE shards SET state = CASE WHEN place <= :in_hand THEN 'leased' ELSE 'pending' END,
    owner = 'nobody', leased_at = extract(epoch FROM now()) - 5, lease_until = extract(epoch FROM now()) + 86400
FROM (SELECT id, row_number() OVER (ORDER BY seq) AS place FROM shards WHERE job_id = :job AND last_idx >= :done)
    AS rest WHERE rest.id = shards.id
"""
_JOB = """
UPDATE jobs SET started = created, task = 'object-detection', class_names = :classes,
    ok = counted.ok, failed = counted.failed, objects = counted.objects, shards_left = counted.open,
    state = CASE WHEN counted.open > 0 THEN 'running' ELSE 'completed_with_errors' END,
    finished = CASE WHEN counted.open > 0 THEN NULL ELSE created + 36000 END
FROM (
    SELECT count(*) FILTER (WHERE state <> 'done') AS open,
        sum(ok) FILTER (WHERE state = 'done') AS ok, sum(failed) FILTER (WHERE state = 'done') AS failed,
        sum(objects) FILTER (WHERE state = 'done') AS objects
    FROM shards WHERE job_id = :job
) AS counted WHERE id = :job
"""
_EVENT = """
INSERT INTO job_events (id, job_id, created, kind, details)
SELECT 'bench-' || id, id, created, 'started', '{}' FROM jobs WHERE id = :job
"""
