"""Boxes, scores and classes as outputs of their own, suppressed inside the network, joined into rows.

Two layouts are known, by shape and order since names differ between exporters and runtimes: labels, boxes, scores
(`tools/export_onnx.py` of lyuwenyu/RT-DETR, Peterande/D-FINE and ShihuaHuang95/DEIM), and number, boxes, scores,
classes (TensorRT's `EfficientNMS_TRT` plugin, which exporters of YOLOv7 and YOLO-NAS imitate).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import OutputInvalid
from inference_engine.sessions import Tensors


def suppressed_rows(outputs: Tensors, images: int) -> npt.NDArray[np.float32]:
    """Rows `(n, boxes, 6)`: corners, score, class id; places beyond the number of boxes have score 0.

    Raises:
        OutputInvalid: the outputs are neither of the two layouts.
    """
    boxes = [array for array in outputs.values() if array.ndim == 3]
    others = [array for array in outputs.values() if array.ndim == 2]
    numbers: npt.NDArray[Any] | None = others.pop(0) if len(others) == _WITH_NUMBER else None
    if len(boxes) != 1 or len(others) != 2 or len(outputs) != 3 + (numbers is not None):
        raise _not_known(outputs, images)
    scores, classes = _scores_first(others, is_counted=numbers is not None)
    if len(scores) != images or classes.shape != scores.shape or boxes[0].shape != (*scores.shape, 4):
        raise _not_known(outputs, images)
    found = [boxes[0], scores[..., None], classes[..., None]]
    rows = np.concatenate([array.astype(np.float32, copy=False) for array in found], axis=2)
    if numbers is not None:
        if numbers.shape != (images, 1):
            raise _not_known(outputs, images)
        rows[np.arange(rows.shape[1])[None, :] >= numbers] = 0
    return rows


#: Outputs of two axes in the layout that has a number of boxes, which stands first.
_WITH_NUMBER = 3


def _scores_first(others: list[npt.NDArray[Any]], *, is_counted: bool) -> list[npt.NDArray[Any]]:
    """Scores and classes: classes are whole numbers, or, of a runtime that widens all to floats, where they stand."""
    whole = [array.dtype.kind in "iu" for array in others]
    is_swapped = whole[0] if any(whole) else not is_counted
    return others[::-1] if is_swapped else others


def _not_known(outputs: Tensors, images: int) -> OutputInvalid:
    shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in outputs.items())
    return OutputInvalid(
        f"outputs {shapes}; expected labels ({images}, k), boxes ({images}, k, 4), scores ({images}, k), or number "
        f"({images}, 1), boxes, scores, classes"
    )
