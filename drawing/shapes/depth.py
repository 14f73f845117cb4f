"""Depth as colours: near is warm, far is cold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from drawing.canvas import Canvas
from drawing.colours import DARK
from drawing.opencv import import_cv2
from drawing.planes import read_plane

#: Units of which a larger number is farther away.
_FAR_IS_LARGE = frozenset({"metres"})


def draw(canvas: Canvas, record: Mapping[str, Any], blob: bytes | None) -> None:
    """The picture's own range from end to end (OpenCV's table `TURBO`); the range stands at the upper left."""
    cv2 = import_cv2()
    height, width = record["image_hw"]
    steps = read_plane(blob, (height, width))
    near = (steps >> 8 if steps.dtype == np.uint16 else steps).astype(np.uint8)
    if record["unit"] in _FAR_IS_LARGE:
        near = 255 - near
    canvas.image[:] = cv2.cvtColor(cv2.applyColorMap(canvas.sized(near), cv2.COLORMAP_TURBO), cv2.COLOR_BGR2RGB)
    canvas.plate((0, 0), f"{record['low']:.4g} to {record['high']:.4g} {record['unit']}", DARK)
