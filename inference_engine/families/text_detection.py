"""Finders of text by a map of how likely each pixel is text: one output `(n, 1, h, w)`, 0 to 1 (DB, arXiv 1911.08947).

What is above a threshold and hangs together is a shrunken line of text. Its box is grown by `area * ratio / perimeter`
(section 3.4); its score is the mean of the map inside. Thresholds are those of PaddlePaddle/PaddleOCR
(ppocr/postprocess/db_postprocess.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.images import Boxes, Fit, to_original
from inference_engine.model import Recipe, fitted
from inference_engine.opencv import import_cv2
from inference_engine.packages import ModelPackage
from inference_engine.planes import plane_step
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.parts.parameters import class_thresholds

_IS_TEXT, _GROWTH = 0.3, 1.5
#: Pixels of the map; what is smaller is noise.
_SMALLEST = 3
_Map = npt.NDArray[np.float32]


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Boxes of a batch, image by image; all are of the package's one class.

    Raises:
        OutputInvalid: the output is no map an image.
    """
    maps = next(iter(outputs.values()))
    if maps.ndim != 4 or maps.shape[:2] != (len(fits), 1) or len(package.class_names) != 1:
        raise OutputInvalid(
            f"output {maps.shape} and classes {package.class_names}, expected ({len(fits)}, 1, h, w) and one class"
        )
    return [_decode(each[0], fit, package, params) for each, fit in zip(maps, fits, strict=True)]


def _decode(
    likely: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> Detections | EngineError:
    if not (np.isfinite(likely).all() and likely.min() >= 0 and likely.max() <= 1):
        return OutputInvalid("the model gave a map with numbers that are not from 0 to 1 for this image")
    found, scores = text_boxes(np.ascontiguousarray(likely, dtype=np.float32))
    kept = np.flatnonzero(scores >= class_thresholds(params, package.class_names)[0])
    kept = kept[top_k(scores[kept], params.max_detections)]
    step = np.asarray(plane_step(likely.shape, fit, package.config.network_input) * 2, dtype=np.float32)
    return Detections(
        to_original(found[kept] / step, fit),
        scores[kept],
        np.zeros(len(kept), dtype=np.int64),
        fit.original_hw,
        package.class_names,
    )


def text_boxes(likely: _Map) -> tuple[Boxes, npt.NDArray[np.float32]]:
    """Grown boxes `(n, 4)` in pixels of the map, and their scores."""
    cv2 = import_cv2()
    is_text = (likely > _IS_TEXT).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(is_text, connectivity=8)
    flat = labels.reshape(-1)
    sums = np.bincount(flat, weights=likely.reshape(-1), minlength=count)[1:]
    x, y, width, height, pixels = stats[1:].T.astype(np.float32)
    grown = width * height * np.float32(_GROWTH) / (2 * (width + height))
    boxes: Boxes = np.stack([x - grown, y - grown, x + width + grown, y + height + grown], axis=1)
    is_large = (width >= _SMALLEST) & (height >= _SMALLEST)
    return boxes[is_large], (sums / pixels).astype(np.float32)[is_large]


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of boxes: regions of a map do not overlap.
    """
    if late := [name for name in ("iou_threshold", "class_agnostic") if given.get(name) is not None]:
        raise ParameterInvalid(f"{late[0]} cannot be changed: no box suppresses another in {package.architecture}")
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


RECIPES = {detection.TASK: Recipe(fitted, postprocess, check_params)}
