"""Parts of a text with boxes, each with what it says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drawing.canvas import Canvas
from drawing.shapes import boxes


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:
    """As boxes, with the text in place of the class's name."""
    boxes.draw(canvas, {**record, "class_name": record.get("texts") or ()}, blob)
