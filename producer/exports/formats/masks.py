"""Masks as pictures: `masks/semantic/` or `masks/instances/`, grey PNG files of the pictures' size.

Semantic maps have a class id a pixel, as the model numbers them. Instance maps have 16 bits: 0 where nothing is, n
where the n-th object of the picture's line in `objects.jsonl` is; where several are, the surest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from drawing.opencv import import_cv2
from drawing.planes import read_plane
from producer.errors import ExportFailed
from producer.exports.atomic import atomic_folder
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind, dense_mask, instances, kinds_of
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = {Kind.LABEL_MAP, Kind.MASKS}
_MAIN = "classes.json"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/masks`, with the classes' names by id in `classes.json`.

    Raises:
        ExportFailed: a record's map is damaged.
    """
    path, items, objects = dest / "masks", 0, 0
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        files = PictureFiles(folder)
        names = {str(class_id): name for class_id, name in sorted(dataset.survey.class_names.items())}
        (folder / _MAIN).write_bytes(encode(names) + b"\n")
        with (folder / "objects.jsonl").open("wb") as lines:
            for picture in dataset.pictures():
                kind, plane, found = _plane(picture)
                file = files.write(f"{kind}/{picture.name}", ".png", _png(plane))
                line = {"file": file.relative_to(folder).as_posix(), "name": picture.name, "objects": found}
                lines.write(encode(line) + b"\n")
                items, objects = items + 1, objects + len(found)
        written = contents(folder, path, _MAIN)
    return ExportSummary("masks", path, items, objects, written, files.problems)


def _plane(picture: Picture) -> tuple[str, npt.NDArray[Any], list[dict[str, Any]]]:
    """Which folder it belongs to, the map, and what is on it."""
    try:
        if Kind.LABEL_MAP in kinds_of(picture.record):
            return "semantic", _label_map(picture), _classes(picture.record)
        return "instances", *_instance_map(picture)
    except ValueError as error:
        raise ExportFailed(f"the masks of {picture.row.uri} are damaged: {error}; label it again") from error


def _label_map(picture: Picture) -> npt.NDArray[Any]:
    """The confidence, where it is kept, stands below the map and is left away."""
    width, height = picture.wh
    lines = height * (1 + bool(picture.record.get("with_confidence")))
    return read_plane(picture.row.blob, (lines, width))[:height]


def _classes(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    columns = zip(record["class_id"], record["class_name"], record["pixels"], strict=True)
    return [{"class_id": class_id, "class_name": name, "pixels": pixels} for class_id, name, pixels in columns]


def _instance_map(picture: Picture) -> tuple[npt.NDArray[np.uint16], list[dict[str, Any]]]:
    width, height = picture.wh
    plane = np.zeros((height, width), np.uint16)
    found = list(instances(picture.record))
    by_score = sorted(range(len(found)), key=lambda index: found[index].confidence or 0.0)
    for index in by_score:
        plane[dense_mask(found[index].mask or {})] = index + 1
    told = [
        {"value": number, "class_id": each.class_id, "class_name": each.class_name, "confidence": each.confidence}
        for number, each in enumerate(found, 1)
    ]
    return plane, told


def _png(plane: npt.NDArray[Any]) -> bytes:
    cv2 = import_cv2()
    data: bytes = cv2.imencode(".png", np.ascontiguousarray(plane))[1].tobytes()
    return data
