"""`manifest.json`: what an output folder holds, what made it, and the hash of every file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import msgspec

from producer.exports.atomic import atomic_file

if TYPE_CHECKING:
    from pathlib import Path

    from jobstore.schema import DecisionRow
    from jobstore.views import JobStatus
    from producer.exports.dataset import Dataset
    from producer.exports.summary import ExportSummary

MANIFEST = "manifest.json"
_VERSION = 1


def write_manifest(dataset: Dataset, summaries: Sequence[ExportSummary], dest: Path) -> Path:
    """Write `dest/manifest.json`, last of all files, so that its presence says that the others are complete.

    It is written file by file: an export of a million label files needs no more memory than one of ten.

    Raises:
        ExportFailed: the disk refuses.
    """
    job, path = dataset.job, dest / MANIFEST
    content = {
        "schema_version": _VERSION,
        "job": _describe_job(job),
        "counts": {name: getattr(job, name) for name in ("total", "ok", "cached", "failed", "skipped", "pending")},
        "model": {"id": job.model, "digest": job.model_digest, "task": job.task, "class_names": job.class_names},
        "params": job.params,
        "options": asdict(dataset.options),
        "decisions": [_describe_decision(key, decision) for key, decision in sorted(dataset.decisions.items())],
    }
    with atomic_file(path) as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2).removesuffix(b"\n}"))
        file.write(b',\n  "formats": {')
        for number, summary in enumerate(summaries):
            file.write(b"%b\n    %b: " % (b"," if number else b"", msgspec.json.encode(summary.format)))
            _write_format(file, summary, dest)
        file.write(b"\n  }\n}\n")
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


def _write_format(file: IO[bytes], summary: ExportSummary, dest: Path) -> None:
    """One object of `formats`; a line a file."""
    counts = {"items": summary.items, "objects": summary.objects, "problems": summary.problems}
    file.write(msgspec.json.encode(counts).removesuffix(b"}") + b',"files":[')
    for number, path in enumerate(summary.every_file()):
        file.write((b"," if number else b"") + b"\n      " + msgspec.json.encode(_describe_file(path, dest)))
    file.write(b"\n    ]}")


def _describe_file(path: Path, dest: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": os.path.relpath(path, dest), "bytes": path.stat().st_size, "sha256": digest}
