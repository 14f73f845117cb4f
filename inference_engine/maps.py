"""Maps of numbers `(n, h, w)` resized as PyTorch's `interpolate` does it with `align_corners=False`. Pure.

Whole maps by OpenCV's `resize`, whose weights are exact; `planes` samples a part of a map by `warpAffine`, which cuts
places to 32nds of a pixel, too coarse to be equal to PyTorch's.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.opencv import import_cv2

Maps = npt.NDArray[np.float32]


class Between(StrEnum):
    """What stands between the centres of two pixels."""

    NEAREST = "nearest"  # the pixel whose area it falls into
    LINEAR = "linear"
    CUBIC = "cubic"  # Keys' kernel with a = -0.75, as both libraries have it


def resized(maps: npt.NDArray[Any], hw: tuple[int, int], between: Between = Between.LINEAR) -> Maps:
    """`(n, h, w)` at another height and width; edges are repeated, and nothing is smoothed when it shrinks."""
    cv2 = import_cv2()
    plain = np.ascontiguousarray(maps, dtype=np.float32)
    if plain.shape[1:] == hw:
        return plain
    flag = {Between.NEAREST: cv2.INTER_NEAREST, Between.LINEAR: cv2.INTER_LINEAR, Between.CUBIC: cv2.INTER_CUBIC}
    made = [cv2.resize(plane, hw[::-1], interpolation=flag[between]) for plane in plain]
    return np.stack(made) if made else np.zeros((0, *hw), dtype=np.float32)
