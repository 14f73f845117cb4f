"""A distance for every pixel. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.planes import read_plane
from producer.judging.comparison.figures import Difference
from producer.judging.comparison.measures.prediction import Prediction

_STEPS = 65535


def measure(one: Prediction, other: Prediction) -> Difference:
    """The mean over pixels of |a - b| / max(|a|, |b|), 1 at most; 0 where both are 0.

    Raises:
        ValueError: the units differ.
    """
    if one.record["unit"] != other.record["unit"]:
        raise ValueError(f"one depth is in {one.record['unit']}, the other in {other.record['unit']}")
    a, b = _depth(one), _depth(other)
    larger = np.maximum(np.abs(a), np.abs(b))
    relative = np.divide(np.abs(a - b), larger, out=np.zeros_like(a), where=larger > 0)
    mean = float(np.minimum(relative, 1.0).mean())
    return Difference(mean, {"relative_difference": mean})


def _depth(prediction: Prediction) -> npt.NDArray[np.float64]:
    """As `docs/predictions.md` has the blob: steps of the picture's own range."""
    record: Any = prediction.record
    height, width = record["image_hw"]
    steps = read_plane(prediction.blob, (height, width)).astype(np.float64)
    found: npt.NDArray[np.float64] = record["low"] + steps / _STEPS * (record["high"] - record["low"])
    return found
