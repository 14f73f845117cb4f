"""Turned boxes with their class and confidence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas
from drawing.colours import class_colour

_CORNERS = np.asarray([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """Least confident first; the label stands at the upper left corner of the box before it is turned."""
    columns = (record.get(key) or () for key in ("confidence", "class_id", "class_name", "xywhr"))
    boxes = sorted(zip(*columns, strict=True), key=lambda box: float(box[0]))
    for score, class_id, name, (x, y, width, height, angle) in boxes:
        across, down = np.asarray((np.cos(angle), np.sin(angle))), np.asarray((-np.sin(angle), np.cos(angle)))
        corners = (x, y) + _CORNERS[:, :1] * width * across + _CORNERS[:, 1:] * height * down
        points = canvas.points(corners)
        canvas.lines(points, class_colour(class_id), is_closed=True)
        canvas.plate((int(points[0, 0]), int(points[0, 1])), f"{name} {score:.2f}", class_colour(class_id))
