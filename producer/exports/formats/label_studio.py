"""Label Studio: `label-studio/tasks.json` with predictions to correct, and `label-studio/config.xml` for the project.

Boxes, turned boxes, brush strokes, key points, choices and texts, in percent of the picture, with scores and the
model's version; fields as https://labelstud.io/guide/predictions and https://labelstud.io/guide/export have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import degrees
from statistics import fmean
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from drawing.colours import Colour, class_colour
from producer.exports.annotations import DECIMALS
from producer.exports.atomic import atomic_folder
from producer.exports.brush import brush_runs
from producer.exports.markup import attributes
from producer.exports.outlines import turned_corners
from producer.exports.records import Kind, dense_mask, instances, kinds_of
from producer.exports.summary import ExportSummary, contents, count_objects

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture
    from producer.exports.records import Instance

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS, Kind.TURNED, Kind.CLASSES, Kind.TEXT}
_MAIN = "tasks.json"
#: A key point's size in percent of the picture's width.
_POINT_WIDTH = 0.5
_DIGEST_DIGITS = 12


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/label-studio`.

    A task's picture is its address where it has one that Label Studio reads, and else a path below the folder that its
    local storage serves, which should be `root`, the common folder of the job's pictures.
    """
    path, items, objects = dest / "label-studio", 0, 0
    version = "-".join(filter(None, (dataset.job.model, _short(dataset.job.model_digest))))
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        with (folder / _MAIN).open("wb") as file:
            file.write(b"[\n")
            for picture in dataset.pictures():
                task = task_of(picture, items, version, dataset.survey.root.folder)
                file.write((b",\n" if items else b"") + encode(task))
                items, objects = items + 1, objects + count_objects(picture.record)
            file.write(b"\n]\n")
        (folder / "config.xml").write_text(_config(dataset), encoding="utf-8")
        written = contents(folder, path, _MAIN)
    return ExportSummary("label-studio", path, items, objects, written)


def _short(digest: str | None) -> str:
    return (digest or "").removeprefix("sha256:")[:_DIGEST_DIGITS]


def task_of(picture: Picture, index: int, version: str, root: str) -> dict[str, Any]:
    """One picture as a task with one prediction.

    Args:
        index: the task's, from 0.
        version: the model's, as people see it.
        root: the common folder of the pictures.
    """
    width, height = picture.wh
    uri = picture.row.uri
    is_remote = "://" in uri and not uri.startswith("file://") and not picture.row.frame
    place = uri if is_remote else f"/data/local-files/?d={quote(picture.name)}"
    results = list(_results(picture))
    scores = [float(score) for score in picture.record.get("confidence") or ()]
    prediction: dict[str, Any] = {"model_version": version, "result": results}
    if scores:
        prediction["score"] = round(fmean(scores), 6)
    data = {"image": place, "width": width, "height": height, "name": picture.name, "root": root}
    return {"id": index + 1, "data": data, "predictions": [prediction]}


def _results(picture: Picture) -> Iterator[dict[str, Any]]:
    record, (width, height) = picture.record, picture.wh
    kinds = kinds_of(record)
    if Kind.CLASSES in kinds:
        yield from _choices(record)
        return
    size = {"original_width": width, "original_height": height, "image_rotation": 0, "to_name": "image"}
    for number, instance in enumerate(instances(record), 1):
        shared = {"id": f"o{number}", **size}
        if instance.confidence is not None:
            shared["score"] = round(instance.confidence, 6)
        yield from ({**shared, **result} for result in _object(instance, (width, height), f"o{number}"))
    if Kind.TEXT in kinds and Kind.BOXES not in kinds:
        value = {"text": [record["text"]]}
        yield {"id": "t1", "type": "textarea", "from_name": "answer", "to_name": "image", "value": value}


def _choices(record: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every class of a multi-label record; of others the best, since a person chooses one."""
    names = record["class_name"] if record["task"].startswith("multi-label") else record["class_name"][:1]
    if names:
        score, value = round(max(record["confidence"]), 6), {"choices": list(names)}
        yield {"id": "c1", "type": "choices", "from_name": "choice", "to_name": "image", "score": score, "value": value}


def _object(instance: Instance, wh: tuple[int, int], region: str) -> Iterator[dict[str, Any]]:
    """What is drawn for an object; texts share its region, key points are regions of their own below it."""
    label = [instance.class_name]
    if instance.mask is not None:
        value: dict[str, Any] = {"format": "rle", "rle": brush_runs(dense_mask(instance.mask)), "brushlabels": label}
        yield {"type": "brushlabels", "from_name": "brush", "value": value}
        return
    place = _rectangle(instance, wh)
    yield {"type": "rectanglelabels", "from_name": "label", "value": {**place, "rectanglelabels": label}}
    if instance.text is not None:
        yield {"type": "textarea", "from_name": "transcription", "value": {**place, "text": [instance.text]}}
    points = zip(instance.point_names, instance.key_points or (), strict=True)
    for number, (name, (x, y, score)) in enumerate(points, 1):
        if score > 0:
            value = {"x": _percent(x, wh[0]), "y": _percent(y, wh[1]), "width": _POINT_WIDTH, "keypointlabels": [name]}
            more = {"id": f"{region}p{number}", "parentID": region, "score": round(score, 6)}
            yield {"type": "keypointlabels", "from_name": "point", "value": value, **more}


def _rectangle(instance: Instance, wh: tuple[int, int]) -> dict[str, float]:
    """Left, top, width and height in percent, and degrees around the upper left corner, which turns with the box."""
    if instance.xywhr is None:
        left, top, right, bottom = instance.xyxy
        width, height, rotation = right - left, bottom - top, 0.0
    else:
        (left, top), *_ = turned_corners(instance.xywhr)
        _, _, width, height, angle = instance.xywhr
        rotation = round(degrees(angle) % 360, DECIMALS)
    return {
        "x": _percent(left, wh[0]),
        "y": _percent(top, wh[1]),
        "width": _percent(width, wh[0]),
        "height": _percent(height, wh[1]),
        "rotation": rotation,
    }


def _percent(value: float, side: int) -> float:
    # A hundred-millionth of a side: less than a thousandth of a pixel in every picture that is read.
    return round(100 * value / side, 6)


def _config(dataset: Dataset) -> str:
    """The controls that the predictions name."""
    survey = dataset.survey
    labels = [(name, class_colour(class_id)) for class_id, name in sorted(survey.class_names.items())]
    points = dict.fromkeys(name for each in survey.skeletons for name in each["names"])
    controls = [f"  <Image{attributes(name='image', value='$image')}/>\n"]
    if Kind.MASKS in survey.kinds:
        controls.append(_control("BrushLabels", "brush", labels))
    elif Kind.BOXES in survey.kinds:
        controls.append(_control("RectangleLabels", "label", labels))
    if points:
        controls.append(_control("KeyPointLabels", "point", [(name, class_colour(n)) for n, name in enumerate(points)]))
    if Kind.CLASSES in survey.kinds:
        choices = "".join(f"    <Choice{attributes(value=name)}/>\n" for name, _ in labels)
        controls.append(
            f"  <Choices{attributes(name='choice', toName='image', choice='multiple')}>\n{choices}  </Choices>\n"
        )
    if Kind.TEXT in survey.kinds:
        has_places = Kind.BOXES in survey.kinds
        name, per_region = ("transcription", "true") if has_places else ("answer", "false")
        controls.append(
            f"  <TextArea{attributes(name=name, toName='image', perRegion=per_region, editable='true')}/>\n"
        )
    return f"<View>\n{''.join(controls)}</View>\n"


def _control(tag: str, name: str, labels: Iterable[tuple[str, Colour]]) -> str:
    lines = (
        f"    <Label{attributes(value=label, background=f'#{red:02x}{green:02x}{blue:02x}')}/>\n"
        for label, (red, green, blue) in labels
    )
    return f"  <{tag}{attributes(name=name, toName='image')}>\n{''.join(lines)}  </{tag}>\n"
