"""Upright boxes with their class and confidence, and the number of their track where they have one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas
from drawing.colours import class_colour


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """Lines least confident first, so that the surest lie on top; the surest labels have the best places."""
    columns = [record.get(key) or () for key in ("confidence", "class_id", "class_name", "xyxy")]
    tracks = record.get("track_id") or [None] * len(columns[0])
    boxes = sorted(zip(*columns, tracks, strict=True), key=lambda box: float(box[0]))
    drawn = [
        (canvas.points(np.reshape(xyxy, (2, 2))), name if track is None else f"#{track} {name}", score, id_)
        for score, id_, name, xyxy, track in boxes
    ]
    for corners, _, _, class_id in drawn:
        (left, top), (right, bottom) = corners
        around = np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.int32)
        canvas.lines(around, class_colour(class_id), is_closed=True)
    canvas.plates(
        [
            ((int(corners[0, 0]), int(corners[0, 1])), f"{name} {score:.2f}", class_colour(class_id))
            for corners, name, score, class_id in reversed(drawn)
        ]
    )
