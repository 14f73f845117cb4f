"""Classifiers of clips in Hugging Face format: `logits (n, classes)` of so many frames, the head of classification.

VideoMAE (arXiv 2203.12602) and V-JEPA 2 (arXiv 2506.09985). A picture alone is a clip of which all frames are equal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from inference_engine.clip_model import ClipModel
from inference_engine.families.classification import postprocess
from inference_engine.hf_folder import settings_of
from inference_engine.hf_inputs import clip_frames, prepared
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks import classification, video_classification
from inference_engine.tasks.classification import ClassificationParams


def still(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """One picture as a clip, `(1, frames, 3, height, width)` by the model's own name."""
    tensors, fit = prepared(image, package)
    (pixels,) = tensors.values()
    return {settings_of(package).row.pixels: np.repeat(pixels[None], clip_frames(package), axis=1)}, fit


def check_params(given: Mapping[str, Any], package: ModelPackage) -> ClassificationParams:
    """The parameters of a classifier.

    Raises:
        ParameterInvalid: a value is wrong.
    """
    return classification.classification_params(given, package.class_names, package.recommended)


RECIPES = {video_classification.TASK: Recipe(still, postprocess, check_params, model=ClipModel)}
