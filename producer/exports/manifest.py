"""`manifest.json`: what an output folder holds, what made it, and the hash of every file."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.atomic import atomic_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus
    from producer.exports.summary import ExportSummary

_VERSION = 1


def write_manifest(
    job: JobStatus, decisions: Mapping[str, DecisionRow], summaries: Sequence[ExportSummary], dest: Path
) -> Path:
    """Write `dest/manifest.json`, last of all files, so that its presence says that the others are complete.

    Raises:
        ExportFailed: the disk refuses.
    """
    path = dest / "manifest.json"
    content = {
        "schema_version": _VERSION,
        "job": _describe_job(job),
        "counts": {name: getattr(job, name) for name in ("total", "ok", "cached", "failed", "skipped", "pending")},
        "model": {"id": job.model, "digest": job.model_digest, "task": job.task, "class_names": job.class_names},
        "params": job.params,
        "decisions": [_describe_decision(key, decision) for key, decision in sorted(decisions.items())],
        "formats": {summary.format: _describe_export(summary, dest) for summary in summaries},
    }
    with atomic_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    return path


def _describe_job(job: JobStatus) -> dict[str, Any]:
    names = ("tenant", "name", "state", "reason", "tags", "hardware", "wishes", "created", "started", "finished")
    return {"id": job.job_id, **{name: getattr(job, name) for name in names}}


def _describe_decision(key: str, decision: DecisionRow) -> dict[str, Any]:
    names = (
        "package_id",
        "package_digest",
        "backend",
        "device",
        "quantization",
        "max_batch_size",
        "strategy",
        "versions",
    )
    return {"id": key, **{name: getattr(decision, name) for name in names}}


def _describe_export(summary: ExportSummary, dest: Path) -> dict[str, Any]:
    return {
        "items": summary.items,
        "objects": summary.objects,
        "problems": summary.problems,
        "files": list(_describe_files(summary.files, dest)),
    }


def _describe_files(files: Iterable[Path], dest: Path) -> Iterable[dict[str, Any]]:
    for path in files:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        yield {"path": os.path.relpath(path, dest), "bytes": path.stat().st_size, "sha256": digest}
