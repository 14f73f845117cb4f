"""Read texts: `text/pages/`, a text file a picture, and `text/text.jsonl` with the places of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.annotations import DECIMALS
from producer.exports.atomic import atomic_folder
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind, instances
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = {Kind.TEXT}
_MAIN = "text.jsonl"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/text`; a model's answer to a prompt is a text too."""
    path, items, objects = dest / "text", 0, 0
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        files = PictureFiles(folder)
        with (folder / _MAIN).open("wb") as lines:
            for picture in dataset.pictures():
                page = str(picture.record["text"])
                file = files.write(f"pages/{picture.name}", ".txt", page.encode("utf-8", "replace"))
                line = _line(picture, file.relative_to(folder).as_posix())
                lines.write(encode(line) + b"\n")
                items, objects = items + 1, objects + len(line["parts"])
        written = contents(folder, path, _MAIN)
    return ExportSummary("text", path, items, objects, written, files.problems)


def _line(picture: Picture, file: str) -> dict[str, Any]:
    width, height = picture.wh
    parts = [
        {
            "text": each.text,
            "class_name": each.class_name,
            "confidence": each.confidence,
            "xyxy": [round(value, DECIMALS) for value in each.xyxy],
        }
        for each in instances(picture.record)
    ]
    more = {key: picture.record[key] for key in ("prompt", "is_complete", "text_confidence") if key in picture.record}
    shared = {"file": file, "name": picture.name, "uri": picture.row.uri, "width": width, "height": height}
    return {**shared, "text": picture.record["text"], **more, "parts": parts}
