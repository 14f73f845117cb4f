"""The class of every pixel, by a colour table, with the largest classes named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas
from drawing.colours import class_colour, colour_table
from drawing.planes import read_plane

_SHARE = 0.55
#: Names that fit beside a picture.
_MOST_NAMES = 8
#: The class that covers nothing.
_BACKGROUND = "background"


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:
    """Every class but the background is mixed in; names stand at the upper left, the largest first."""
    height, width = record["image_hw"]
    labels = read_plane(blob, (height * (1 + bool(record.get("with_confidence"))), width))[:height]
    classes = sorted(zip(record["pixels"], record["class_id"], record["class_name"], strict=True), reverse=True)
    shown = [(class_id, name) for _, class_id, name in classes if name != _BACKGROUND]
    is_shown = np.zeros(int(labels.max()) + 1, dtype=np.bool_)
    is_shown[[class_id for class_id, _ in shown]] = True
    canvas.blend(is_shown[labels], colour_table(int(labels.max()))[labels], _SHARE)
    top = 0
    for class_id, name in shown[:_MOST_NAMES]:
        top += canvas.plate((0, top), name, class_colour(class_id), is_below=True)
