"""Open-vocabulary detectors in Hugging Face format: boxes of the words that a call names.

The session gives `(n, queries, words)` logits and `(n, queries, 4)` boxes, centre and size as shares of the picture.
OWL-ViT and Grounding DINO take the best word of each query; OmDet-Turbo the best query-word pairs, as many as there are
queries, of which overlapping ones suppress each other (`post_process_grounded_object_detection` of each in
transformers 5). OWLv2's shares are of the square that its picture is padded to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import suppress, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.families.hf_detection import shares_to_corners
from inference_engine.hf_architectures import TEXTS
from inference_engine.hf_inputs import prepared
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.scores import sigmoid
from inference_engine.sessions import Tensors
from inference_engine.tasks import open_vocabulary
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.open_vocabulary import OpenVocabularyParams
from inference_engine.tasks.parts.parameters import class_thresholds

#: Architectures whose boxes suppress each other; the others give one box a query.
_SUPPRESSED = frozenset({"omdet-turbo"})
#: Architectures whose pictures are padded to a square before they are resized.
_SQUARE = frozenset({"owlv2"})
#: What is looked for where nobody looks at the result.
_ANYTHING = ("object",)


def prepare(image: Image, package: ModelPackage, params: OpenVocabularyParams | None) -> tuple[Tensors, Fit]:
    """The picture, and the words `(1, words)` as text: the model's own tokenizer reads them."""
    tensors, fit = prepared(image, package)
    return {**tensors, TEXTS: np.asarray([params.classes if params else _ANYTHING])}, fit


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: OpenVocabularyParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    logits, boxes = outputs.values()
    if logits.ndim != 3 or logits.shape[::2] != (len(fits), len(params.classes)) or boxes.shape[:2] != logits.shape[:2]:
        raise OutputInvalid(
            f"logits {logits.shape} and boxes {boxes.shape}, expected ({len(fits)}, queries, {len(params.classes)}) "
            "and 4 a query"
        )
    return [_decode(*item, package, params) for item in zip(logits, boxes, fits, strict=True)]


def _decode(
    logits: npt.NDArray[Any], boxes: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: OpenVocabularyParams
) -> Detections | EngineError:
    if np.isnan(logits).any() or not np.isfinite(boxes).all():
        return OutputInvalid("the model gave numbers that are not finite for this image")
    is_suppressed = package.architecture in _SUPPRESSED
    query, class_id, confidence = (_best_pairs if is_suppressed else _best_words)(sigmoid(logits))
    sure = confidence >= class_thresholds(params, params.classes)[class_id]
    query, class_id, confidence = query[sure], class_id[sure], confidence[sure]
    side = max(fit.original_hw)
    whole = (side, side) if package.architecture in _SQUARE else fit.original_hw
    xyxy = shares_to_corners(boxes[query], whole, fit.original_hw)
    kept = _kept(xyxy, confidence, class_id, params) if is_suppressed else top_k(confidence, params.max_detections)
    return Detections(
        xyxy[kept], confidence[kept], class_id[kept], fit.original_hw, params.classes, open_vocabulary.TASK
    )


def _kept(
    xyxy: npt.NDArray[np.float32],
    confidence: npt.NDArray[np.float32],
    class_id: npt.NDArray[np.int64],
    params: OpenVocabularyParams,
) -> npt.NDArray[np.int64]:
    return suppress(
        xyxy,
        confidence,
        class_id,
        iou_threshold=params.iou_threshold,
        class_agnostic=params.class_agnostic,
        limit=params.max_detections,
    )


_Picked = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


def _best_words(scores: npt.NDArray[np.float32]) -> _Picked:
    return np.arange(len(scores)), scores.argmax(axis=1), scores.max(axis=1)


def _best_pairs(scores: npt.NDArray[np.float32]) -> _Picked:
    flat = scores.reshape(-1)
    best = top_k(flat, len(scores))
    return best // scores.shape[1], best % scores.shape[1], flat[best]


def check_params(given: Mapping[str, Any], package: ModelPackage) -> OpenVocabularyParams:
    """The words and the thresholds.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of boxes from a model that does without.
    """
    late = [name for name in ("iou_threshold", "class_agnostic") if given.get(name) is not None]
    if late and package.architecture not in _SUPPRESSED:
        raise ParameterInvalid(f"{late[0]} cannot be changed: no box suppresses another in {package.architecture}")
    return open_vocabulary.open_vocabulary_params(given, package.config.nms)


RECIPES = {open_vocabulary.TASK: Recipe(prepared, postprocess, check_params, prepare)}
