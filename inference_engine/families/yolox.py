"""YOLOX: one output `(n, anchors, 5 + classes)` of offsets in cells, as its exporter leaves it, or rows with NMS.

Columns are the centre's offset from its cell in cells, the logarithm of the size in cells, objectness and class scores
in [0, 1] (`decode_outputs` in yolox/models/yolo_head.py of Megvii-BaseDetection/YOLOX 0.3, which
tools/export_onnx.py leaves out). An export with `--decode_in_inference` has pixels already: it is a package of family
`yolo_objectness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo_objectness import RECIPES as OBJECTNESS
from inference_engine.images import Fit, network_hw
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections

_DETECTOR = OBJECTNESS[detection.TASK]
#: Network pixels a cell, fine maps first; the larger inputs have a coarser map besides.
_STRIDES = ((8, 16, 32), (8, 16, 32, 64))


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    if not package.config.is_fused:
        heads: npt.NDArray[Any] = next(iter(outputs.values()))
        if heads.ndim != 3 or heads.shape[2] < 5 or not fits:
            raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, anchors, 5 + classes)")
        # All pictures of a batch have one input.
        outputs = {"output": in_pixels(heads, network_hw(fits[0], package.config.network_input))}
    return _DETECTOR.postprocess(outputs, fits, package, params)


def in_pixels(heads: npt.NDArray[Any], hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The same heads with centres and sizes in network pixels.

    Args:
        hw: height and width of the network's input.

    Raises:
        OutputInvalid: there are more or fewer anchors than the input has cells.
    """
    cells = next((found for found in (_cells(hw, s) for s in _STRIDES) if len(found) == heads.shape[1]), None)
    if cells is None:
        expected = " or ".join(str(len(_cells(hw, strides))) for strides in _STRIDES)
        raise OutputInvalid(f"{heads.shape[1]} anchors, expected {expected} for an input of {hw} (height, width)")
    decoded = heads.astype(np.float32)
    corner, stride = cells[:, :2], cells[:, 2:]
    decoded[..., :2] = (decoded[..., :2] + corner) * stride
    # A size that overflows is reported as a box that is not finite, not as a warning.
    with np.errstate(over="ignore"):
        decoded[..., 2:4] = np.exp(decoded[..., 2:4]) * stride
    return decoded


@lru_cache(maxsize=64)
def _cells(hw: tuple[int, int], strides: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Column, row and stride of every cell, `(anchors, 3)`, row by row."""
    grids = [(np.indices((hw[0] // stride, hw[1] // stride)).reshape(2, -1), stride) for stride in strides]
    rows = [np.stack([grid[1], grid[0], np.full(grid.shape[1], stride)], axis=1) for grid, stride in grids]
    cells = np.concatenate(rows).astype(np.float32)
    cells.flags.writeable = False
    return cells


RECIPES = {detection.TASK: Recipe(_DETECTOR.preprocess, postprocess, _DETECTOR.check_params)}
