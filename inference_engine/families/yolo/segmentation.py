"""Masks of a YOLO head: each box has coefficients, and the network gives prototypes `(n, coefficients, h, w)`.

A mask is where the sum of the prototypes, weighted by the box's coefficients, is above 0 (a sigmoid above one half),
inside of the box (YOLACT, arXiv 1904.02689, section 3; ultralytics 8.x, segmentation head of an export).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.candidates import Kept
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo.decoding import decode_heads
from inference_engine.images import Fit, to_original
from inference_engine.mask_planes import box_regions, draw_masks
from inference_engine.packages import ModelPackage
from inference_engine.planes import Plane, plane_step
from inference_engine.sessions import Tensors
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.instance_segmentation import InstanceDetections

#: Masks that are computed at once in the prototypes' size: 1.6 MB for the usual 160 x 160.
_CHUNK = 16


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[InstanceDetections | EngineError]:
    """Decode a batch, image by image.

    Raises:
        OutputInvalid: there is not one head of three axes and one set of prototypes of four.
    """
    head, prototypes = head_and_prototypes(outputs, len(fits))
    found = decode_heads(head, len(fits), package, params, extra=prototypes.shape[1])
    return [instances(*each, package) for each in zip(found, prototypes, fits, strict=True)]


def head_and_prototypes(outputs: Tensors, images: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The head `(n, ., .)` and the prototypes `(n, coefficients, h, w)`, whatever their order.

    Maps of five axes, which some exporters of YOLOv5 and YOLOv7 leave among the outputs, are passed over.

    Raises:
        OutputInvalid: there is not one of each.
    """
    heads, prototypes = ([array for array in outputs.values() if array.ndim == axes] for axes in (3, 4))
    if len(heads) != 1 or len(prototypes) != 1 or len(prototypes[0]) != images:
        shapes = [array.shape for array in outputs.values()]
        raise OutputInvalid(f"outputs of shape {shapes}, expected a head and prototypes ({images}, n, h, w)")
    return heads[0], prototypes[0]


def instances(
    kept: Kept | EngineError, prototypes: npt.NDArray[Any], fit: Fit, package: ModelPackage
) -> InstanceDetections | EngineError:
    """The boxes that were kept, and the masks that their coefficients make of the prototypes of one image."""
    if isinstance(kept, EngineError):
        return kept
    if not np.isfinite(prototypes).all():
        return OutputInvalid("the model gave prototypes that are not finite numbers for this image")
    xyxy = to_original(kept.boxes, fit)
    planes = _planes(kept.extra, prototypes.astype(np.float32, copy=False))
    step = plane_step(prototypes.shape[1:], fit, package.config.network_input)
    masks = draw_masks(planes, box_regions(xyxy), fit, step)
    return InstanceDetections(xyxy, kept.confidence, kept.class_id, masks, fit.original_hw, package.class_names)


def _planes(coefficients: npt.NDArray[np.float32], prototypes: npt.NDArray[np.float32]) -> Iterator[Plane]:
    """The weighted sum of each instance `(h, w)`, a chunk of them computed at a time."""
    flat = prototypes.reshape(len(prototypes), -1)
    for start in range(0, len(coefficients), _CHUNK):
        yield from (coefficients[start : start + _CHUNK] @ flat).reshape(-1, *prototypes.shape[1:])
