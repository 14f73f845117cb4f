"""YOLO: `yolo/labels/` in the pictures' own folders and `yolo/data.yaml`; boxes, polygons, key points or turned boxes.

Lines as https://docs.ultralytics.com/datasets/ has them for detect, segment, pose and obb.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from producer.exports.annotations import threshold_of, visible_point
from producer.exports.atomic import atomic_folder
from producer.exports.outlines import outline, turned_corners
from producer.exports.picture_files import PictureFiles
from producer.exports.records import Kind, dense_mask, instances
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture
    from producer.exports.records import Instance

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS, Kind.TURNED}
_INDEX = "data.yaml"


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/yolo`; a picture without objects has an empty file, as trainers want it.

    The score stands at a line's end only where the options ask for it.
    """
    path, items, objects = dest / "yolo", 0, 0
    points = max((len(each["names"]) for each in dataset.survey.skeletons), default=0)
    with atomic_folder(path, _INDEX) as folder:
        files = PictureFiles(folder)
        (folder / "labels").mkdir()
        (folder / _INDEX).write_text(_data_yaml(dataset, points), encoding="utf-8")
        for picture in dataset.pictures():
            lines = list(_lines(picture, points, with_score=dataset.options.save_conf))
            files.write(f"labels/{picture.name}", ".txt", "".join(lines).encode("ascii"))
            if dataset.options.with_images:
                files.copy_picture(picture, "images")
            items, objects = items + 1, objects + len(lines)
        written = contents(folder, path, _INDEX)
    return ExportSummary("yolo", path, items, objects, written, files.problems)


def _data_yaml(dataset: Dataset, points: int) -> str:
    import yaml

    names = dataset.survey.class_names
    content: dict[str, Any] = {
        "path": ".",
        "train": "images",
        "val": "images",
        # Trainers want every number from 0 on.
        "names": {number: names.get(number, str(number)) for number in range(max(names, default=-1) + 1)},
    }
    if points:
        content["kpt_shape"] = [points, 3]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _lines(picture: Picture, points: int, *, with_score: bool) -> Iterable[str]:
    width, height = picture.wh
    threshold = threshold_of(picture.record)
    for instance in instances(picture.record):
        numbers = _shape(instance, points, threshold)
        if not numbers:
            continue
        scaled = (_share(x, width) + " " + _share(y, height) + end for x, y, end in numbers)
        score = f" {instance.confidence:.6f}" if with_score and instance.confidence is not None else ""
        yield f"{instance.class_id} {' '.join(scaled)}{score}\n"


def _shape(instance: Instance, points: int, threshold: float) -> list[tuple[float, float, str]]:
    """Pairs of x and y in pixels, each with what stands after it; none for an empty mask."""
    if instance.mask is not None:
        polygon = outline(dense_mask(instance.mask))
        return [] if polygon is None else [(x, y, "") for x, y in polygon.tolist()]
    if instance.xywhr is not None:
        return [(x, y, "") for x, y in turned_corners(instance.xywhr)]
    left, top, right, bottom = instance.xyxy
    box = [((left + right) / 2, (top + bottom) / 2, ""), (right - left, bottom - top, "")]
    return box + _key_points(instance, points, threshold)


def _key_points(instance: Instance, points: int, threshold: float) -> list[tuple[float, float, str]]:
    """As many as the class with the most of them has."""
    if not points:
        return []
    given = [visible_point(point, threshold) for point in instance.key_points or ()]
    filled = given + [(0, 0, 0)] * (points - len(given))
    return [(x, y, f" {visible}") for x, y, visible in filled]


def _share(value: float, side: int) -> str:
    return f"{min(max(value / side, 0.0), 1.0):.6f}"
