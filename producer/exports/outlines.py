"""Shapes as polygons: masks by their outlines, turned boxes by their corners."""

from __future__ import annotations

from math import cos, sin
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from drawing.opencv import import_cv2

if TYPE_CHECKING:
    from drawing.run_lengths import Mask

#: `(n, 2)`, x and y of pixels' middles counted from 0, as OpenCV fills polygons.
Polygon = npt.NDArray[np.int32]


def outline(mask: Mask) -> Polygon | None:
    """One polygon around all parts of a mask; None for an empty mask.

    Formats that have one polygon an object cannot say that it has parts or holes: parts are joined by lines of no width
    between their nearest corners, and holes are filled.
    """
    cv2 = import_cv2()
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    parts = sorted((part.reshape(-1, 2) for part in found), key=len, reverse=True)
    if not parts:
        return None
    ring: Polygon = parts[0]
    for part in parts[1:]:
        ring = _joined(ring, part)
    return ring if len(ring) > 2 else _corners_of(ring)


def turned_corners(xywhr: Any) -> list[tuple[float, float]]:
    """The four corners of a turned box, clockwise on the screen, beginning at what was the upper left one.

    Args:
        xywhr: centre, width, height, and the angle in radians, clockwise on the screen.
    """
    x, y, width, height, angle = xywhr
    across = (cos(angle) * width / 2, sin(angle) * width / 2)
    down = (-sin(angle) * height / 2, cos(angle) * height / 2)
    return [
        (x + a * across[0] + b * down[0], y + a * across[1] + b * down[1])
        for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]


def _joined(ring: Polygon, part: Polygon) -> Polygon:
    """Go along the ring to the corner nearest to the part, around the part, back, and on."""
    distances = ((ring[:, None].astype(np.int64) - part[None]) ** 2).sum(axis=2)
    at, first = np.unravel_index(int(distances.argmin()), distances.shape)
    around = np.concatenate([part[first:], part[: first + 1]])
    return np.concatenate([ring[: at + 1], around, ring[at:]])


def _corners_of(points: Polygon) -> Polygon:
    """Of a mask of one or two corners, which is no area to most readers: the box around it."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return np.asarray([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.int32)
