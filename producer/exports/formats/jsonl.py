"""Everything, lossless: `results.jsonl`, one line for each outcome, failed and skipped ones too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.atomic import atomic_file
from producer.exports.records import EVERY_KIND
from producer.exports.summary import ExportSummary, count_objects

if TYPE_CHECKING:
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import ResultRow
    from producer.exports.dataset import Dataset

TAKES = EVERY_KIND


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/results.jsonl`, UTF-8, in the order of the rows."""
    path = dest / "results.jsonl"
    items = objects = 0
    encoder = msgspec.json.Encoder()
    with atomic_file(path) as file:
        for row in dataset.rows():
            file.write(encoder.encode(_line(row, dataset.decisions.get(row.decision_id or ""))) + b"\n")
            items += 1
            objects += count_objects(row.record or {})
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
