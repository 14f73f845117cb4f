"""COCO: `coco/annotations.json` with scores, run lengths and key points, and the bare list `coco/results.json`.

An image of a video is one of its frames, `file_name` is `clip.mp4@12` for the twelfth, with `timestamp_s`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from producer.exports.atomic import atomic_file
from producer.exports.coco import CocoWriter
from producer.exports.records import Kind
from producer.exports.summary import ExportSummary

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS}


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write both files; items without a record are counted in `info` and are no images."""
    path, results = dest / "coco" / "annotations.json", dest / "coco" / "results.json"
    with atomic_file(path) as output, atomic_file(results) as results_file:
        writer = CocoWriter(output, results_file, path.parent)
        writer.write(dataset)
    return ExportSummary("coco", path, writer.images, writer.objects, (path, results))
