"""Several formats of one job, written below one folder: checked first, described by `manifest.json` last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from producer.errors import ExportOptionInvalid
from producer.exports.atomic import remove_file
from producer.exports.manifest import MANIFEST, write_manifest
from producer.exports.registry import check_fit, find_format

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset
    from producer.exports.registry import Format
    from producer.exports.summary import ExportSummary


def check_exports(dataset: Dataset, names: Sequence[str]) -> list[Format]:
    """The formats, all of which this job's records fit.

    Raises:
        FormatUnknown, FormatUnsuitable, ExportOptionInvalid.
    """
    found = [find_format(name) for name in dict.fromkeys(names)]
    known = dataset.job.class_names
    if known is not None and (unknown := sorted(set(dataset.options.classes) - set(known))):
        raise ExportOptionInvalid(f"the model has no class called {unknown[0]!r}; expected some of {', '.join(known)}")
    first = dataset.first_record()
    if first is not None:
        for each in found:
            check_fit(each, first)
    return found


def write_exports(dataset: Dataset, names: Sequence[str], dest: Path) -> list[ExportSummary]:
    """Write each format below `dest`, and `manifest.json` when all are there.

    While formats are written there is no manifest, so that one which is there tells of complete files.

    Raises:
        FormatUnknown, FormatUnsuitable, ExportOptionInvalid: before anything is written.
        ExportFailed: no half-written file is visible; formats that were complete stay.
    """
    chosen = check_exports(dataset, names)
    remove_file(dest / MANIFEST)
    summaries = [each.export(dataset, dest) for each in chosen]
    write_manifest(dataset, summaries, dest)
    return summaries
