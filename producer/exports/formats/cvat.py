"""CVAT for images 1.1: `cvat/annotations.xml` with boxes, turned boxes, masks, skeletons and tags.

Elements as https://docs.cvat.ai/docs/manual/advanced/xml_format/ has them. The score and, of tracked videos, the track
are attributes of each shape; a picture of a video is one of its frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from math import degrees
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from drawing.colours import class_colour
from producer.exports.annotations import threshold_of
from producer.exports.atomic import atomic_file
from producer.exports.markup import attributes, number, text
from producer.exports.records import Kind, bounds, dense_mask, instances, kinds_of
from producer.exports.summary import ExportSummary

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture
    from producer.exports.records import Instance

TAKES = {Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS, Kind.TURNED, Kind.CLASSES}


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/cvat/annotations.xml`; import it into a task that holds the pictures under the same names."""
    path = dest / "cvat" / "annotations.xml"
    items = objects = 0
    with atomic_file(path) as file:
        _write_head(file, dataset)
        for picture in dataset.pictures():
            shapes = list(_shapes(picture))
            width, height = picture.wh
            head = attributes(id=items, name=picture.name, width=width, height=height)
            file.write(f"  <image{head}>\n{''.join(shapes)}  </image>\n".encode())
            items, objects = items + 1, objects + len(shapes)
        file.write(b"</annotations>\n")
    return ExportSummary("cvat", path, items, objects, (path,))


def _write_head(file: IO[bytes], dataset: Dataset) -> None:
    job, survey = dataset.job, dataset.survey
    when = datetime.fromtimestamp(job.finished or job.now, UTC).isoformat(timespec="seconds")
    labels = "".join(_label(number_, name, survey.skeletons) for number_, name in sorted(survey.class_names.items()))
    file.write(
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n'
        f"    <task><name>{text(job.name or job.model)}</name><mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n    </task>\n    <dumped>{when}</dumped>\n  </meta>\n".encode()
    )


def _label(class_id: int, name: str, skeletons: tuple[Mapping[str, Any], ...]) -> str:
    red, green, blue = class_colour(class_id)
    kind = "skeleton" if class_id < len(skeletons) else "any"
    points = skeletons[class_id]["names"] if class_id < len(skeletons) else ()
    parts = [(name, kind, None), *((point, "points", name) for point in points)]
    return "".join(
        f"        <label><name>{text(label)}</name><color>#{red:02x}{green:02x}{blue:02x}</color><type>{type_}</type>"
        f"<attributes></attributes>{'' if parent is None else f'<parent>{text(parent)}</parent>'}</label>\n"
        for label, type_, parent in parts
    )


def _shapes(picture: Picture) -> Iterable[str]:
    record = picture.record
    if Kind.CLASSES in kinds_of(record):
        for name, score in zip(record["class_name"], record["confidence"], strict=True):
            yield _element("tag", {"label": name}, [("score", f"{score:.6f}")])
        return
    threshold = threshold_of(record)
    for instance in instances(record):
        yield _shape(instance, threshold)


def _shape(instance: Instance, threshold: float) -> str:
    more: list[tuple[str, object]] = []
    if instance.confidence is not None:
        more.append(("score", f"{instance.confidence:.6f}"))
    more += [
        (key, value) for key, value in (("track_id", instance.track_id), ("text", instance.text)) if value is not None
    ]
    if instance.mask is not None:
        return _element("mask", {"label": instance.class_name, "occluded": 0, **_cut_mask(instance.mask)}, more)
    if instance.key_points is not None:
        return _skeleton(instance, threshold, more)
    return _element("box", {"label": instance.class_name, "occluded": 0, **_corners(instance)}, more)


def _corners(instance: Instance) -> dict[str, object]:
    """A box; a turned one by its corners before it is turned, and degrees."""
    if instance.xywhr is None:
        names = ("xtl", "ytl", "xbr", "ybr")
        return {name: number(value) for name, value in zip(names, instance.xyxy, strict=True)}
    x, y, width, height, angle = instance.xywhr
    left, top = x - width / 2, y - height / 2
    corners = {"xtl": left, "ytl": top, "xbr": left + width, "ybr": top + height, "rotation": degrees(angle) % 360}
    return {name: number(value) for name, value in corners.items()}


def _cut_mask(mask: Mapping[str, Any]) -> dict[str, object]:
    """Runs along the lines of the part that is not empty, beginning with those outside."""
    dense = dense_mask(mask)
    if (found := bounds(dense)) is None:
        return {"rle": "1", "left": 0, "top": 0, "width": 1, "height": 1}
    left, top, right, bottom = found
    flat = dense[top:bottom, left:right].reshape(-1)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    runs = [0, *runs] if flat[0] else runs
    return {"rle": ", ".join(map(str, runs)), "left": left, "top": top, "width": right - left, "height": bottom - top}


def _skeleton(instance: Instance, threshold: float, more: list[tuple[str, object]]) -> str:
    points = "".join(
        "      <points"
        + attributes(
            label=name,
            outside=int(score <= 0),
            occluded=int(0 < score < threshold),
            points=f"{number(x)},{number(y)}",
        )
        + "></points>\n"
        for name, (x, y, score) in zip(instance.point_names, instance.key_points or (), strict=True)
    )
    return _element("skeleton", {"label": instance.class_name}, more, points)


def _element(name: str, values: Mapping[str, object], more: Iterable[tuple[str, object]], inside: str = "") -> str:
    order = {} if name == "tag" else {"z_order": 0}
    added = "".join(f"      <attribute{attributes(name=key)}>{text(value)}</attribute>\n" for key, value in more)
    return f"    <{name}{attributes(**values, source='auto', **order)}>\n{inside}{added}    </{name}>\n"
