"""Boxes of a detector with what a classifier says of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawing.canvas import Canvas
from drawing.shapes import boxes


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:
    """The detector's boxes; a label and its confidence stand in place of the box's own where there is one."""
    found = record["detections"]
    columns = (found["class_name"], found["confidence"], record["label"], record["label_confidence"])
    told = [
        (f"{name}: {label}", sure) if label else (name, score)
        for name, score, label, sure in zip(*columns, strict=True)
    ]
    shown = {"class_name": [name for name, _ in told], "confidence": [score for _, score in told]}
    boxes.draw(canvas, {**found, **shown}, blob)
