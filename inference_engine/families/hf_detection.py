"""Detectors of the DETR kind in Hugging Face format: a fixed number of queries, no suppression of boxes.

Outputs are `logits (n, queries, classes)` and `pred_boxes (n, queries, 4)`: centre and size as shares of the picture.
DETR and YOLOS have one class more, "no object", and a softmax (arXiv 2005.12872, section 3.1); the others have a
sigmoid a class, and the best query-class pairs are taken (Deformable DETR, arXiv 2010.04159; RT-DETR, arXiv
2304.08069): as many as there are queries, or 100 (`post_process_object_detection` of each in transformers 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.hf_inputs import prepared
from inference_engine.images import Boxes, Fit, to_original
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.scores import sigmoid, softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.parts.parameters import class_thresholds

#: Architectures whose last class is "no object".
SOFTMAX = frozenset({"detr", "yolos"})
#: Pairs that are taken where it is not one a query.
_PAIRS = {"deformable_detr": 100, "conditional_detr": 100, "lw_detr": 100}


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    logits, boxes = outputs["logits"], outputs["pred_boxes"]
    classes = len(package.class_names) + (package.architecture in SOFTMAX)
    if logits.ndim != 3 or logits.shape[::2] != (len(fits), classes) or boxes.shape != (*logits.shape[:2], 4):
        raise OutputInvalid(
            f"logits {logits.shape} and boxes {boxes.shape}, expected ({len(fits)}, queries, {classes}) and 4 a query"
        )
    return [_decode(*item, package, params) for item in zip(logits, boxes, fits, strict=True)]


def _decode(
    logits: npt.NDArray[Any], boxes: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> Detections | EngineError:
    if not (np.isfinite(logits).all() and np.isfinite(boxes).all()):
        return OutputInvalid("the model gave numbers that are not finite for this image")
    plain = logits.astype(np.float32, copy=False)
    limit = _PAIRS.get(package.architecture, len(logits))
    query, class_id, confidence = _best_class(plain) if package.architecture in SOFTMAX else _best_pairs(plain, limit)
    chosen = np.flatnonzero(confidence >= class_thresholds(params, package.class_names)[class_id])
    chosen = chosen[top_k(confidence[chosen], params.max_detections)]
    corners = shares_to_corners(boxes[query[chosen]], fit.original_hw, fit.original_hw)
    return Detections(corners, confidence[chosen], class_id[chosen], fit.original_hw, package.class_names)


def shares_to_corners(boxes: npt.NDArray[Any], of_hw: tuple[int, int], original_hw: tuple[int, int]) -> Boxes:
    """`(n, 4)` centre and size as shares of a height and width, to corners in pixels clipped to the picture."""
    height, width = of_hw
    share = np.asarray((width, height, width, height), dtype=np.float32)
    corners = centre_to_corners(boxes.astype(np.float32, copy=False)) * share
    return to_original(corners, Fit((1.0, 1.0), (0, 0), original_hw))


_Picked = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


def _best_class(logits: npt.NDArray[np.float32]) -> _Picked:
    """One class a query: the best but for "no object", the last."""
    shares = softmax(logits)
    return np.arange(len(logits)), shares[:, :-1].argmax(axis=1), shares[:, :-1].max(axis=1)


def _best_pairs(logits: npt.NDArray[np.float32], limit: int) -> _Picked:
    """The best query-class pairs, so that a query may stand for two classes."""
    scores = sigmoid(logits).reshape(-1)
    best = top_k(scores, limit)
    return best // logits.shape[1], best % logits.shape[1], scores[best]


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of boxes, which these models do without.
    """
    if late := [name for name in ("iou_threshold", "class_agnostic") if given.get(name) is not None]:
        raise ParameterInvalid(f"{late[0]} cannot be changed: no box suppresses another in {package.architecture}")
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


RECIPES = {detection.TASK: Recipe(prepared, postprocess, check_params)}
