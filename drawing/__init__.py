"""Records drawn on their pictures: what the engine's predictions and the exporter's previews look like.

A record is the JSON of one prediction (`inference_engine.tasks`), read here without the engine, so that whoever only
exports loads no model code. Pictures are `(H, W, 3)` uint8 RGB. One module a shape; `TASKS` says what each task has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas, Image
from drawing.shapes import boxes, depth, key_points, label_map, masks, oriented, plates, texts

__all__ = ["TASKS", "Image", "draw_record", "is_drawn"]

#: Draws one record, and its blob where the task has one, on a canvas.
Drawer = Callable[[Canvas, Mapping[str, Any], bytes | None], None]

#: What is drawn for each task, in this order.
TASKS: Mapping[str, tuple[Drawer, ...]] = {
    "object-detection": (boxes.draw,),
    "open-vocabulary-object-detection": (boxes.draw,),
    "instance-segmentation": (masks.draw, boxes.draw),
    "interactive-instance-segmentation": (masks.draw,),
    "keypoint-detection": (boxes.draw, key_points.draw),
    "oriented-object-detection": (oriented.draw,),
    "classification": (plates.draw_classes,),
    "multi-label-classification": (plates.draw_classes,),
    "semantic-segmentation": (label_map.draw,),
    "panoptic-segmentation": (masks.draw, plates.draw_classes),
    "depth-estimation": (depth.draw,),
    "embedding": (plates.draw_embedding,),
    "structured-ocr": (texts.draw,),
    "text-only-ocr": (plates.draw_text,),
    "vlm": (plates.draw_text,),
    "action-recognition": (plates.draw_spans,),
    "video-classification": (plates.draw_classes,),
}


def is_drawn(record: Mapping[str, Any]) -> bool:
    """Whether the task of a record is known here."""
    return record.get("task") in TASKS


def draw_record(image: Image, record: Mapping[str, Any], blob: bytes | None = None) -> Image:
    """A new picture with the record on it; the given one stays as it is.

    Args:
        image: `(H, W, 3)` uint8 RGB: the picture that the record is of, or a smaller copy of it, with the same sides.
        blob: what belongs to the record, where its task has one.

    Raises:
        ValueError: the image is none, the task is not known, or the record or its blob is damaged.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"expected a picture (H, W, 3) uint8 RGB, found {image.shape} {image.dtype}")
    if not is_drawn(record):
        raise ValueError(f"a record of task {record.get('task')!r} cannot be drawn, only {', '.join(TASKS)}")
    canvas = Canvas.of(image, record["image_hw"])
    for drawer in TASKS[record["task"]]:
        drawer(canvas, record, blob)
    return canvas.image
