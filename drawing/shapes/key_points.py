"""Key points and the lines between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas
from drawing.colours import class_colour

_LINE = (255, 255, 255)


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """Points at or above their threshold, and the lines of which both ends are; a colour a point's number."""
    for xy, scores, class_id in zip(*(record[key] for key in ("xy", "key_points_confidence", "class_id")), strict=True):
        place, score = canvas.points(np.reshape(xy, (-1, 2))), np.asarray(scores)
        skeleton = record["skeletons"][class_id]
        # Places that the class has no point for have no confidence.
        is_sure = (score >= record.get("key_points_threshold", 0.0)) & (score > 0)
        for start, end in skeleton["edges"]:
            if max(start, end) < len(place) and is_sure[start] and is_sure[end]:
                canvas.lines(place[[start, end]], _LINE, is_closed=False)
        for number in np.flatnonzero(is_sure).tolist():
            canvas.dot((int(place[number, 0]), int(place[number, 1])), class_colour(number))
