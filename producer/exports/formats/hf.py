"""Hugging Face image folder: `hf/metadata.jsonl`, a line a picture, to lie beside the pictures.

`load_dataset("imagefolder", data_dir=...)` reads it; https://huggingface.co/docs/datasets/image_dataset names the
columns. Boxes are x, y, width, height in pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from producer.exports.annotations import corners_wh, threshold_of, visible_point
from producer.exports.atomic import atomic_folder
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind, instances, kinds_of
from producer.exports.summary import ExportSummary, contents, count_objects

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS, Kind.CLASSES, Kind.TEXT}
_MAIN = "metadata.jsonl"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/hf`; a frame of a video is a JPEG there, `clip.mp4@12.jpg`, if the pictures are asked for."""
    path, items, objects = dest / "hf", 0, 0
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        files = PictureFiles(folder)
        with (folder / _MAIN).open("wb") as file:
            for picture in dataset.pictures():
                file.write(encode(_line(picture)) + b"\n")
                if dataset.options.with_images:
                    files.copy_picture(picture, ".")
                items, objects = items + 1, objects + count_objects(picture.record)
        written = contents(folder, path, _MAIN)
    return ExportSummary("hf", path, items, objects, written, files.problems)


def _line(picture: Picture) -> dict[str, Any]:
    record, kinds = picture.record, kinds_of(picture.record)
    width, height = picture.wh
    line: dict[str, Any] = {
        "file_name": f"{picture.name}.jpg" if picture.row.frame else picture.name,
        "width": width,
        "height": height,
    }
    if kinds & {Kind.BOXES, Kind.MASKS}:
        line["objects"] = _objects(picture)
    if Kind.CLASSES in kinds:
        names, scores = record["class_name"], record["confidence"]
        line |= {"label": names[0] if names else None, "labels": names, "scores": scores}
    if Kind.TEXT in kinds:
        line["text"] = record["text"]
    return line


def _objects(picture: Picture) -> dict[str, list[Any]]:
    """Columns of the objects, the same for each picture of a task, as loaders want it."""
    record = picture.record
    found, threshold = list(instances(record)), threshold_of(record)
    columns: dict[str, list[Any]] = {
        "bbox": [corners_wh(each.xyxy) for each in found],
        "categories": [each.class_name for each in found],
        "category_id": [each.class_id for each in found],
        "score": [each.confidence for each in found],
    }
    if "masks" in record:
        columns["segmentation"] = [each.mask for each in found]
    if "xy" in record:
        columns["keypoints"] = [[visible_point(point, threshold) for point in each.key_points or ()] for each in found]
    if "texts" in record:
        columns["text"] = [each.text for each in found]
    if "track_id" in record:
        columns["track_id"] = [each.track_id for each in found]
    return columns
