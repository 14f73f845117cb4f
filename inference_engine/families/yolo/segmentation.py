"""Masks of a YOLO head: each box has coefficients, and the network gives prototypes `(n, coefficients, h, w)`.

A mask is where the sum of the prototypes, weighted by the box's coefficients, is above 0 (a sigmoid above one half),
inside of the box (YOLACT, arXiv 1904.02689, section 3; ultralytics 8.x, segmentation head of an export).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo.decoding import Kept, decode_heads
from inference_engine.images import Boxes, Fit, to_original
from inference_engine.masks import InstancesRLEMasks
from inference_engine.packages import ModelPackage
from inference_engine.planes import at_pixels, plane_step
from inference_engine.sessions import Tensors
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.instance_segmentation import InstanceDetections

#: Masks that are computed at once in the prototypes' size: 1.6 MB for the usual 160 x 160.
_CHUNK = 16
_Planes = npt.NDArray[np.float32]


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[InstanceDetections | EngineError]:
    """Decode a batch, image by image.

    Raises:
        OutputInvalid: there is not one head of three axes and one set of prototypes of four.
    """
    by_axes = {array.ndim: array for array in outputs.values()}
    if sorted(array.ndim for array in outputs.values()) != [3, 4] or len(by_axes[4]) != len(fits):
        shapes = [array.shape for array in outputs.values()]
        raise OutputInvalid(f"outputs of shape {shapes}, expected a head and prototypes ({len(fits)}, n, h, w)")
    prototypes: npt.NDArray[Any] = by_axes[4]
    found = decode_heads(by_axes[3], len(fits), package, params, extra=prototypes.shape[1])
    return [_instances(*each, package) for each in zip(found, prototypes, fits, strict=True)]


def _instances(
    kept: Kept | EngineError, prototypes: npt.NDArray[Any], fit: Fit, package: ModelPackage
) -> InstanceDetections | EngineError:
    if isinstance(kept, EngineError):
        return kept
    if not np.isfinite(prototypes).all():
        return OutputInvalid("the model gave prototypes that are not finite numbers for this image")
    xyxy = to_original(kept.boxes, fit)
    planes = _planes(kept.extra, prototypes.astype(np.float32, copy=False))
    step = plane_step(prototypes.shape[1:], fit, package.config.network_input)
    masks = InstancesRLEMasks.from_dense(_masks(planes, xyxy, fit, step), fit.original_hw)
    return InstanceDetections(xyxy, kept.confidence, kept.class_id, masks, fit.original_hw, package.class_names)


def _planes(coefficients: npt.NDArray[np.float32], prototypes: _Planes) -> Iterator[_Planes]:
    """The weighted sum of each instance `(h, w)`, a chunk of them computed at a time."""
    flat = prototypes.reshape(len(prototypes), -1)
    for start in range(0, len(coefficients), _CHUNK):
        yield from (coefficients[start : start + _CHUNK] @ flat).reshape(-1, *prototypes.shape[1:])


def _masks(
    planes: Iterator[_Planes], xyxy: Boxes, fit: Fit, step: tuple[float, float]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Each mask `(1, height, width)` of the original image, all in one buffer: it holds until the next is asked for.

    Args:
        step: prototype pixels a network pixel, along x and y.
    """
    height, width = fit.original_hw
    # The encoder reads columns, so the buffer lies column by column.
    columns = np.zeros((width, height), dtype=np.bool_)
    for plane, box in zip(planes, xyxy, strict=True):
        # Pixels whose centre lies in the box.
        left, top, right, bottom = np.ceil(box - 0.5).astype(int).tolist()
        if right > left and bottom > top:
            columns[left:right, top:bottom] = at_pixels(plane, (left, top, right, bottom), fit, step).T > 0
        yield columns.T[None]
        columns[left:right, top:bottom] = False
