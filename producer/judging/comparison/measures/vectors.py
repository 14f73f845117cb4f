"""Embeddings. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from producer.judging.comparison.figures import Difference
from producer.judging.comparison.measures.prediction import Prediction


def measure(one: Prediction, other: Prediction) -> Difference:
    """Half of 1 - the cosine between the two: 0 for one direction, 1 for opposite ones.

    Raises:
        ValueError: their numbers of dimensions differ, or one is all zeros.
    """
    a, b = _vector(one), _vector(other)
    if a.shape != b.shape:
        raise ValueError(f"one embedding has {a.size} dimensions, the other {b.size}")
    if np.array_equal(a, b):
        return Difference(0.0, {"cosine": 1.0})
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if not length:
        raise ValueError("an embedding of zeros has no direction")
    cosine = float(np.clip(a @ b / length, -1.0, 1.0))
    return Difference((1.0 - cosine) / 2, {"cosine": cosine})


def _vector(prediction: Prediction) -> npt.NDArray[np.float64]:
    dtype = np.dtype(prediction.record["dtype"]).newbyteorder("<")
    return np.frombuffer(prediction.blob or b"", dtype=dtype).astype(np.float64)
