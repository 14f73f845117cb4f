"""Masks of instances, each in its class's colour; of prompted ones, in their prompt's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing import run_lengths
from drawing.canvas import Canvas
from drawing.colours import class_colour

_SHARE = 0.45


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:  # noqa: ARG001 (as every shape's)
    """One mask after the other, so that one is dense at a time; the surest last."""
    ids = record.get("class_id") or record.get("prompt_id") or ()
    for mask, number in reversed(list(zip(record.get("masks") or (), ids, strict=True))):
        height, width = mask["size"]
        dense = run_lengths.decode(str(mask["counts"]).encode("ascii"), (height, width))
        canvas.blend(dense, np.asarray(class_colour(number), dtype=np.uint8), _SHARE)
