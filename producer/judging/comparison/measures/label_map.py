"""A class for every pixel. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.planes import read_plane
from producer.judging.comparison.figures import Difference
from producer.judging.comparison.measures.prediction import Prediction


def measure(one: Prediction, other: Prediction) -> Difference:
    """Share of pixels with another class; classes are told by name.

    Figures: `pixels`, the share with the same class; `overlap`, the mean intersection over union of the classes that
    either map has.
    """
    names = {name: number for number, name in enumerate(dict.fromkeys((*_names(one), *_names(other))))}
    a, b = _map(one, names), _map(other, names)
    size = len(names)
    both = np.bincount(a.reshape(-1) * size + b.reshape(-1), minlength=size * size).reshape(size, size)
    union = both.sum(axis=0) + both.sum(axis=1) - both.diagonal()
    same = float(both.diagonal().sum() / both.sum())
    return Difference(1.0 - same, {"pixels": same, "overlap": float(np.mean(both.diagonal() / union))})


def _names(prediction: Prediction) -> list[str]:
    return list(prediction.record["class_name"])


def _map(prediction: Prediction, names: dict[str, int]) -> npt.NDArray[np.int64]:
    """The map with numbers that both maps share."""
    record: Any = prediction.record
    height, width = record["image_hw"]
    plane = read_plane(prediction.blob, (height * (1 + bool(record.get("with_confidence"))), width))[:height]
    table = np.full(int(plane.max()) + 1, -1, dtype=np.int64)
    for class_id, name in zip(record["class_id"], record["class_name"], strict=True):
        if class_id < len(table):
            table[class_id] = names[name]
    found: npt.NDArray[np.int64] = table[plane]
    if found.min() < 0:
        raise ValueError("the map has a class that its record does not name")
    return found
