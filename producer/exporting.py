"""Exports of a job that a gateway knows, written where the caller is; the rows are streamed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from producer.exports import EVERYTHING, Dataset, ExportOptions, ExportSummary, find_format, write_exports
from producer.exports.bucket import is_bucket, upload_exports

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobstore.schema import JobId
    from producer.gateway import Gateway


def export_job(
    gateway: Gateway, job_id: JobId, formats: Sequence[str], dest: Path | str, options: ExportOptions = EVERYTHING
) -> list[ExportSummary]:
    """Write the results below a folder or `s3://bucket/prefix`: a file or folder a format, `manifest.json` last.

    Raises:
        FormatUnknown, FormatUnsuitable, ExportOptionInvalid: before anything is written.
        ExportFailed: the disk or the bucket refuses; no half-written file is visible.
    """
    dataset = _dataset(gateway, job_id, options)
    if is_bucket(dest):
        return upload_exports(dataset, formats, str(dest))
    return write_exports(dataset, formats, Path(dest))


def fitting_formats(gateway: Gateway, job_id: JobId, formats: Sequence[str]) -> tuple[str, ...]:
    """Those of the formats that have a place for what the job's model found.

    Raises:
        FormatUnknown.
    """
    record = _dataset(gateway, job_id, EVERYTHING).first_record()
    return tuple(name for name in formats if record is None or find_format(name).fits(record))


def _dataset(gateway: Gateway, job_id: JobId, options: ExportOptions) -> Dataset:
    decisions = {str(row.decision_id): row for row in gateway.decisions(job_id)}
    return Dataset(gateway.status(job_id), decisions, lambda: gateway.results(job_id), options)
