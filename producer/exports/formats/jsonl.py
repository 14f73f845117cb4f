"""`results.jsonl`: one line for each outcome, nothing left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.atomic import atomic_file
from producer.exports.summary import ExportSummary, count_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus, ResultRow


def export(
    job: JobStatus,  # noqa: ARG001 - every exporter takes the job
    rows: Iterable[ResultRow],
    decisions: Mapping[str, DecisionRow],
    dest: Path,
) -> ExportSummary:
    """Write `dest/results.jsonl`, UTF-8, in the order of `rows`; failed and skipped items are lines too."""
    path = dest / "results.jsonl"
    items = objects = 0
    encoder = msgspec.json.Encoder()
    with atomic_file(path) as file:
        for row in rows:
            file.write(encoder.encode(_line(row, decisions.get(row.decision_id or ""))) + b"\n")
            items += 1
            objects += count_objects(row)
    return ExportSummary("jsonl", path, items, objects, (path,))


def _line(row: ResultRow, decision: DecisionRow | None) -> dict[str, Any]:
    """One outcome; `blob` is there only if the task made one, as base64."""
    line = {
        "uri": row.uri,
        "idx": row.idx,
        "frame": row.frame,
        "timestamp_s": row.timestamp_s,
        "state": row.state.value,
        "record": row.record,
        "error": {"code": row.error.code, "message": row.error.message} if row.error else None,
        "metadata": row.metadata,
        "timings_ms": row.timings_ms,
        "backend": decision.backend if decision else None,
        "package": decision.package_id if decision else None,
        "decision": row.decision_id,
        "attempt": row.attempt,
    }
    return line if row.blob is None else {**line, "blob": row.blob}
