"""Semantic segmentation by a YOLO head: one map of logits a class, `(n, classes, h, w)`, over the network's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.images import Fit
from inference_engine.network_maps import sampled_stripes
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import semantic_segmentation
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationParams, SemanticSegmentationResult

#: The class that pixels below the threshold get.
BACKGROUND = "background"


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: SemanticSegmentationParams
) -> list[SemanticSegmentationResult | EngineError]:
    """Label every pixel of a batch, image by image."""
    maps: npt.NDArray[Any] = next(iter(outputs.values()))
    if maps.ndim != 4 or maps.shape[:2] != (len(fits), package.network_class_count):
        raise OutputInvalid(
            f"output of shape {maps.shape}, expected ({len(fits)}, {package.network_class_count}, h, w)"
        )
    return [_labelled(each, fit, package, params) for each, fit in zip(maps, fits, strict=True)]


def _labelled(
    maps: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: SemanticSegmentationParams
) -> SemanticSegmentationResult | EngineError:
    if not np.isfinite(maps).all():
        return OutputInvalid("the model gave numbers that are not finite for this image")
    kept = maps[np.asarray(package.reported_ids) >= 0].astype(np.float32, copy=False)
    few = len(package.class_names) <= np.iinfo(np.uint8).max + 1
    labels = np.empty(fit.original_hw, dtype=np.uint8 if few else np.uint16)
    confidence = np.empty(fit.original_hw, dtype=np.uint8) if params.with_confidence else None
    for rows, logits in sampled_stripes(kept, fit, package.config.network_input):
        labels[rows] = logits.argmax(axis=0)
        if confidence is None and not params.confidence:
            continue
        # The share of the best class: a softmax of which only the largest is wanted.
        best = 1 / np.exp(logits - logits.max(axis=0)).sum(axis=0)
        if params.confidence:
            labels[rows][best < np.float32(params.confidence)] = package.class_names.index(BACKGROUND)
        if confidence is not None:
            confidence[rows] = np.rint(best * 255)
    return SemanticSegmentationResult(labels, package.class_names, confidence)


def check_params(given: Mapping[str, Any], package: ModelPackage) -> SemanticSegmentationParams:
    """The parameters of a model that labels pixels.

    Raises:
        ParameterInvalid: a value is wrong, or there is a threshold and no class for what lies below it.
    """
    params = semantic_segmentation.semantic_segmentation_params(given)
    if params.confidence and BACKGROUND not in package.class_names:
        raise ParameterInvalid(
            f"confidence {params.confidence} makes pixels {BACKGROUND!r}, which is no class of {package.model_id}"
        )
    return params
