"""A table for spreadsheets: `results.csv`, a row a box or mask, a class of a picture, or a text, vector or map."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any

from producer.exports.atomic import atomic_file
from producer.exports.records import EVERY_KIND, Kind, instances, kinds_of
from producer.exports.summary import ExportSummary, count_objects

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = EVERY_KIND
#: The same for every task, so that tables of several jobs go below one another.
COLUMNS = (
    "idx", "name", "uri", "frame", "timestamp_s", "width", "height", "class_id", "class_name", "confidence",
    "x_min", "y_min", "x_max", "y_max", "x_centre", "y_centre", "box_width", "box_height", "angle_radians",
    "track_id", "text", "start_frame", "end_frame", "pixels", "low", "high", "unit", "dimensions",
)  # fmt: skip
_BLOCK_LETTERS = 1 << 18


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/results.csv`, UTF-8; a picture in which nothing was found has one row without a class."""
    path = dest / "results.csv"
    items = objects = 0
    with atomic_file(path) as file:
        lines = io.StringIO(newline="")
        table = csv.DictWriter(lines, COLUMNS, restval="", lineterminator="\n")
        table.writeheader()
        for picture in dataset.pictures():
            shared = _shared(picture)
            table.writerows({**shared, **cells} for cells in _rows(picture.record))
            items, objects = items + 1, objects + count_objects(picture.record)
            if lines.tell() > _BLOCK_LETTERS:
                _drain(lines, file)
        _drain(lines, file)
    return ExportSummary("csv", path, items, objects, (path,))


def _drain(lines: io.StringIO, file: IO[bytes]) -> None:
    file.write(lines.getvalue().encode("utf-8", "replace"))
    lines.seek(0)
    lines.truncate()


def _shared(picture: Picture) -> dict[str, Any]:
    row, (width, height) = picture.row, picture.wh
    place = {"idx": row.idx, "name": picture.name, "uri": row.uri, "width": width, "height": height}
    return place if row.timestamp_s is None else {**place, "frame": row.frame, "timestamp_s": row.timestamp_s}


def _rows(record: Any) -> Iterator[dict[str, Any]]:
    kinds = kinds_of(record)
    if kinds & {Kind.BOXES, Kind.MASKS}:
        found = [_object(instance) for instance in instances(record)]
    else:
        found = list(_columns(record, ("class_id", "class_name", "confidence", "pixels", "start_frame", "end_frame")))
    whole = {key: record[key] for key in ("text", "low", "high", "unit", "dimensions") if key in record}
    for cells in found or [{}]:
        yield {**whole, **cells}


def _columns(record: Any, names: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    present = [name for name in names if isinstance(record.get(name), list)]
    for values in zip(*(record[name] for name in present), strict=True):
        yield dict(zip(present, values, strict=True))


def _object(instance: Any) -> dict[str, Any]:
    cells = {"class_id": instance.class_id, "class_name": instance.class_name, "confidence": instance.confidence}
    cells |= dict(zip(("x_min", "y_min", "x_max", "y_max"), instance.xyxy, strict=True))
    if instance.xywhr is not None:
        names = ("x_centre", "y_centre", "box_width", "box_height", "angle_radians")
        cells |= dict(zip(names, instance.xywhr, strict=True))
    given = {"track_id": instance.track_id, "text": instance.text}
    return cells | {name: value for name, value in given.items() if value is not None}
