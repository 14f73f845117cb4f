"""Semantic segmentation in Hugging Face format: `logits (n, classes, h, w)`, a softmax at each pixel.

SegFormer, BEiT, DPT and UPerNet alike: the logits are resized to the picture, then the best class is taken
(`post_process_semantic_segmentation` of each in transformers 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.hf_inputs import prepared
from inference_engine.images import Fit
from inference_engine.maps import Maps, resized
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.scores import softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import semantic_segmentation
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationParams, SemanticSegmentationResult

#: Name of the class that unsure pixels get.
BACKGROUND = "background"


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: SemanticSegmentationParams
) -> list[SemanticSegmentationResult | EngineError]:
    """Label the pixels of a batch, image by image."""
    (logits,) = outputs.values()
    if logits.ndim != 4 or logits.shape[:2] != (len(fits), len(package.class_names)):
        expected = f"({len(fits)}, {len(package.class_names)}, h, w)"
        raise OutputInvalid(f"logits of shape {logits.shape}, expected {expected}")
    return [_labelled(planes, fit, package, params) for planes, fit in zip(logits, fits, strict=True)]


def _labelled(
    planes: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: SemanticSegmentationParams
) -> SemanticSegmentationResult | EngineError:
    if not np.isfinite(planes).all():
        return OutputInvalid("the model gave numbers that are not finite for this image")
    shown = resized(planes, fit.original_hw)
    needs_shares = params.confidence > 0 or params.with_confidence
    shares = softmax(shown.transpose(1, 2, 0)).max(axis=-1) if needs_shares else None
    return labelled(shown, shares, package.class_names, params)


def labelled(
    scores: Maps, confidence: Maps | None, class_names: tuple[str, ...], params: SemanticSegmentationParams
) -> SemanticSegmentationResult:
    """The best class of every pixel; unsure ones become the background, where the model has such a class.

    Args:
        scores: `(classes, height, width)`.
        confidence: `(height, width)` of the best class; None where the parameters do not ask for it.
    """
    labels = scores.argmax(axis=0).astype(np.uint8 if len(scores) <= 256 else np.uint16)
    names = class_names
    if confidence is not None and params.confidence > 0:
        names = class_names if BACKGROUND in class_names else (*class_names, BACKGROUND)
        labels[confidence < np.float32(params.confidence)] = names.index(BACKGROUND)
    kept = np.rint(confidence * 255).astype(np.uint8) if confidence is not None and params.with_confidence else None
    return SemanticSegmentationResult(labels, names, kept)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> SemanticSegmentationParams:  # noqa: ARG001 (as every family)
    """The parameters of semantic segmentation.

    Raises:
        ParameterInvalid: a value is wrong.
    """
    return semantic_segmentation.semantic_segmentation_params(given)


RECIPES = {semantic_segmentation.TASK: Recipe(prepared, postprocess, check_params)}
