"""Classifiers: one output `(n, classes)`, raw or already activated, of networks of any kind (ResNet, ViT ...).

`post_processing` of the package names the head, `softmax` (one class an image) or `sigmoid` (each class for itself),
and whether it is `fused` into the network. Where nothing is said, a classifier has a softmax and a multi-label
classifier a sigmoid, neither fused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import top_k
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.images import Fit
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.scores import Scores, sigmoid, softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import classification, multi_label, video_classification
from inference_engine.tasks.classification import ClassificationParams, ClassificationPrediction
from inference_engine.tasks.parts.parameters import class_thresholds

_ACTIVATIONS = {"softmax": softmax, "sigmoid": sigmoid}
_USUAL = {classification.TASK: "softmax", multi_label.TASK: "sigmoid", video_classification.TASK: "softmax"}
#: How far a fused head may leave 0 to 1: half precision near 1 has steps of 0.0005.
_SLACK = 1e-3


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: ClassificationParams
) -> list[ClassificationPrediction | EngineError]:
    """Rank the classes of a batch, image by image."""
    heads = next(iter(outputs.values()))
    if heads.shape != (len(fits), package.network_class_count):
        raise OutputInvalid(f"output of shape {heads.shape}, expected ({len(fits)}, {package.network_class_count})")
    return [_rank(head, fit, package, params) for head, fit in zip(heads, fits, strict=True)]


def _rank(
    head: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: ClassificationParams
) -> ClassificationPrediction | EngineError:
    if not np.isfinite(head).all():
        return OutputInvalid("the model gave scores that are not finite numbers for this image")
    config = package.config
    if config.is_fused and not (head.min() >= -_SLACK and head.max() <= 1 + _SLACK):
        return OutputInvalid(
            f"the model gave scores from {head.min():.4g} to {head.max():.4g}, expected 0 to 1: its package says that "
            "the activation is fused in (post_processing.fused)"
        )
    scores = _reported(_activated(head, package), package)
    kept = np.flatnonzero(scores >= class_thresholds(params, package.class_names))
    ranked = kept[top_k(scores[kept], params.max_classes)]
    return ClassificationPrediction(ranked, scores[ranked], fit.original_hw, package.class_names, package.task)


def _activated(head: npt.NDArray[Any], package: ModelPackage) -> Scores:
    if package.config.is_fused:
        clipped: Scores = np.clip(head.astype(np.float32), 0, 1)
        return clipped
    return _ACTIVATIONS[package.config.post_processing or _USUAL[package.task]](head)


def _reported(scores: Scores, package: ModelPackage) -> Scores:
    """Scores by class id of results; a removed class takes its share with it."""
    return scores[np.asarray(package.reported_ids) >= 0] if package.network_classes else scores


def _single_label(given: Mapping[str, Any], package: ModelPackage) -> ClassificationParams:
    return classification.classification_params(given, package.class_names, package.recommended)


def _multi_label(given: Mapping[str, Any], package: ModelPackage) -> ClassificationParams:
    return multi_label.multi_label_params(given, package.class_names, package.recommended)


RECIPES = {
    classification.TASK: Recipe(fitted, postprocess, _single_label),
    multi_label.TASK: Recipe(fitted, postprocess, _multi_label),
}
