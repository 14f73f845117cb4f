"""Boxes, scores and classes as outputs of their own, suppressed inside the network, joined into rows.

Two layouts are known, by type and shape since names differ between exporters and runtimes: labels, boxes, scores
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
    boxes = [array for array in outputs.values() if array.ndim == 3 and array.shape[2] == 4]
    scores = [array for array in outputs.values() if array.ndim == 2 and array.dtype.kind == "f"]
    whole = [array for array in outputs.values() if array.dtype.kind in "iu"]
    if not (len(boxes) == len(scores) == 1 and len(whole) == len(outputs) - 2 and 1 <= len(whole) <= 2):
        raise _not_known(outputs, images)
    # The number of boxes stands first in the one layout that has it.
    classes, places = whole[-1], scores[0].shape
    if len(scores[0]) != images or classes.shape != places or boxes[0].shape != (*places, 4):
        raise _not_known(outputs, images)
    found = [boxes[0], scores[0][..., None], classes[..., None]]
    rows = np.concatenate([array.astype(np.float32, copy=False) for array in found], axis=2)
    if len(whole) == 2:
        rows[np.arange(places[1])[None, :] >= _numbers(outputs, whole[0], images)] = 0
    return rows


def _numbers(outputs: Tensors, numbers: npt.NDArray[Any], images: int) -> npt.NDArray[Any]:
    if numbers.size != images:
        raise _not_known(outputs, images)
    return numbers.reshape(images, 1)


def _not_known(outputs: Tensors, images: int) -> OutputInvalid:
    shapes = ", ".join(f"{name} {array.shape} {array.dtype}" for name, array in outputs.items())
    return OutputInvalid(
        f"outputs {shapes}; expected whole numbers ({images}, k) for classes, boxes ({images}, k, 4) and scores "
        f"({images}, k), and at most one more ({images}, 1) for their number"
    )
