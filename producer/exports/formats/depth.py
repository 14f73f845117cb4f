"""Depth maps: `depth/maps/`, grey PNG files of 16 bits, and `depth/scale.jsonl`, what their steps stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from producer.exports.atomic import atomic_folder
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset

TAKES = {Kind.DEPTH}
_MAIN = "scale.jsonl"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/depth`: `depth = low + value / 65535 * (high - low)`, in the unit of the picture's line."""
    path, items = dest / "depth", 0
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        files = PictureFiles(folder)
        with (folder / _MAIN).open("wb") as scale:
            for picture in dataset.pictures():
                file = files.write(f"maps/{picture.name}", ".png", picture.row.blob or b"")
                record = {key: picture.record[key] for key in ("low", "high", "unit")}
                line = {"file": file.relative_to(folder).as_posix(), "name": picture.name, **record, "steps": 65535}
                scale.write(encode(line) + b"\n")
                items += 1
        written = contents(folder, path, _MAIN)
    return ExportSummary("depth", path, items, 0, written, files.problems)
