"""What a record holds, read by its fields and not by its task's name, so that a new task needs no change here. Pure.

A record is the JSON of one prediction (docs/predictions.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from drawing import run_lengths

if TYPE_CHECKING:
    from producer.exports.options import ExportOptions

Xyxy = tuple[float, float, float, float]
#: x, y, score, all in pixels of the original picture; a score of 0 says that there is no such point.
KeyPoint = tuple[float, float, float]


class Kind(StrEnum):
    """What a record has. A format says which of these it can write."""

    BOXES = "boxes"  # upright, `xyxy`; turned boxes and texts with places have them too
    MASKS = "masks"  # run lengths, one an object
    KEY_POINTS = "key points"
    TURNED = "turned boxes"
    CLASSES = "classes"  # of the whole picture
    LABEL_MAP = "label map"  # a class a pixel
    DEPTH = "depth"
    EMBEDDING = "embedding"
    TEXT = "text"
    SPANS = "spans"  # actions in time


EVERY_KIND = frozenset(Kind)

#: The field that only records with this have.
_MARKS = {
    Kind.BOXES: "xyxy",
    Kind.MASKS: "masks",
    Kind.KEY_POINTS: "xy",
    Kind.TURNED: "xywhr",
    Kind.LABEL_MAP: "pixels",
    Kind.DEPTH: "unit",
    Kind.EMBEDDING: "dimensions",
    Kind.TEXT: "text",
    Kind.SPANS: "start_frame",
}

#: What is a list of objects or classes; maps and vectors are not.
_FILTERED = frozenset({Kind.BOXES, Kind.MASKS, Kind.CLASSES, Kind.SPANS})
#: Fields with one value an object.
_COLUMNS = (
    "confidence", "class_id", "class_name", "xyxy", "masks", "xy", "key_points_confidence", "xywhr", "texts",
    "prompt_id", "track_id", "start_frame", "end_frame",
)  # fmt: skip

#: The class of objects of a task without classes, such as masks that were prompted for.
UNNAMED = "object"


def kinds_of(record: Mapping[str, Any]) -> frozenset[Kind]:
    """Everything that a record has; empty for a record of none of these."""
    found = frozenset(kind for kind, key in _MARKS.items() if key in record)
    return found or (frozenset({Kind.CLASSES}) if "class_id" in record else frozenset())


@dataclass(frozen=True, slots=True)
class Instance:
    """One object of a picture.

    Attributes:
        confidence: None where the task gives none.
        xyxy: pixels of the original picture; of a mask without a box, the box around its pixels.
        mask: COCO's run lengths, `{"size": [height, width], "counts": text}`.
        key_points: as many as its class has; None where the task has none.
        point_names: of those.
        xywhr: centre, size and angle in radians, clockwise on the screen.
        track_id: the same in every frame that shows the object.
    """

    class_id: int
    class_name: str
    confidence: float | None
    xyxy: Xyxy
    mask: Mapping[str, Any] | None = None
    key_points: tuple[KeyPoint, ...] | None = None
    point_names: tuple[str, ...] = ()
    xywhr: tuple[float, float, float, float, float] | None = None
    text: str | None = None
    track_id: int | None = None


def instances(record: Mapping[str, Any]) -> Iterator[Instance]:
    """Objects with places, in the record's order; none for records of other kinds.

    Raises:
        ValueError: a mask does not fill its image.
    """
    boxes, masks = record.get("xyxy"), record.get("masks")
    for index in range(len(boxes if boxes is not None else masks or ())):
        mask = None if masks is None else masks[index]
        names, points = _key_points(record, index)
        yield Instance(
            class_id=_value(record, "class_id", index, 0),
            class_name=_value(record, "class_name", index, UNNAMED),
            confidence=_value(record, "confidence", index, None),
            xyxy=tuple(boxes[index]) if boxes is not None else _around(mask or {}),
            mask=mask,
            key_points=points,
            point_names=names,
            xywhr=_value(record, "xywhr", index, None),
            text=_value(record, "texts", index, None),
            track_id=_value(record, "track_id", index, None),
        )


def selected(record: Mapping[str, Any], options: ExportOptions) -> Mapping[str, Any]:
    """The record without the objects and classes that are not wanted; the same one where nothing is filtered."""
    if not (options.min_confidence or options.classes) or not kinds_of(record) & _FILTERED:
        return record
    columns = {key: record[key] for key in _COLUMNS if record.get(key)}
    scores, names, wanted = columns.get("confidence"), columns.get("class_name"), frozenset(options.classes)
    kept = [
        index
        for index in range(max(map(len, columns.values()), default=0))
        if (scores is None or scores[index] >= options.min_confidence)
        and (not wanted or names is None or names[index] in wanted)
    ]
    return {**record, **{key: [column[index] for index in kept] for key, column in columns.items()}}


def dense_mask(mask: Mapping[str, Any]) -> run_lengths.Mask:
    """One mask of a record, `(height, width)` of bool.

    Raises:
        ValueError: its counts do not fill the image.
    """
    height, width = mask["size"]
    return run_lengths.decode(str(mask["counts"]).encode("ascii"), (height, width))


def bounds(mask: run_lengths.Mask) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of a mask's pixels, the latter two one beyond the last; None for an empty mask."""
    columns, lines = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return None
    return int(columns[0]), int(lines[0]), int(columns[-1]) + 1, int(lines[-1]) + 1


def _value(record: Mapping[str, Any], key: str, index: int, absent: Any) -> Any:
    column = record.get(key)
    return column[index] if column else absent


def _key_points(record: Mapping[str, Any], index: int) -> tuple[tuple[str, ...], tuple[KeyPoint, ...] | None]:
    """As many as the class has names for; places beyond are of other classes."""
    if "xy" not in record:
        return (), None
    names: Sequence[str] = record["skeletons"][record["class_id"][index]]["names"]
    places = zip(record["xy"][index], record["key_points_confidence"][index], names, strict=False)
    return tuple(names), tuple((xy[0], xy[1], score) for xy, score, _ in places)


def _around(mask: Mapping[str, Any]) -> Xyxy:
    """The box around a mask's pixels; all zeros for an empty mask."""
    left, top, right, bottom = bounds(dense_mask(mask)) or (0, 0, 0, 0)
    return float(left), float(top), float(right), float(bottom)
