"""Readers of a line of text that score each character at each step: one output `(n, steps, characters + 1)`.

The first class is "nothing new" (PaddlePaddle/PaddleOCR, ppocr/postprocess/rec_postprocess.py); the rest is in
`characters.txt`. The text is the best path: the likeliest class of each step, repeats joined, "nothing new" left out
(CTC, Graves et al. 2006, section 3.2). Logits get a softmax unless the package says that it is fused in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.images import Fit
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.scores import Scores, softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import text_ocr
from inference_engine.tasks.parts.parameters import refuse_all
from inference_engine.tasks.text_ocr import RecognizedText


def postprocess(
    outputs: Tensors,
    fits: Sequence[Fit],
    package: ModelPackage,
    params: None,  # noqa: ARG001 (as every family's)
) -> list[RecognizedText | EngineError]:
    """The texts of a batch, image by image.

    Raises:
        OutputInvalid: the output has not one class more than there are characters.
    """
    steps = next(iter(outputs.values()))
    wanted = len(fits), len(package.class_names) + 1
    if steps.ndim != 3 or (steps.shape[0], steps.shape[2]) != wanted:
        raise OutputInvalid(f"output of shape {steps.shape}, expected ({wanted[0]}, steps, {wanted[1]})")
    return [_text(each, fit, package) for each, fit in zip(steps, fits, strict=True)]


def _text(steps: npt.NDArray[Any], fit: Fit, package: ModelPackage) -> RecognizedText | EngineError:
    if not np.isfinite(steps).all():
        return OutputInvalid("the model gave scores that are not finite numbers for this image")
    shares = steps.astype(np.float32, copy=False) if package.config.is_fused else softmax(steps)
    text, confidence = best_path(shares, package.class_names)
    return RecognizedText(text, fit.original_hw, confidence)


def best_path(shares: Scores, characters: Sequence[str]) -> tuple[str, float | None]:
    """The text, and the mean share of the steps at which its characters begin; None where there is no text.

    Args:
        shares: `(steps, characters + 1)`, "nothing new" first.
    """
    best = shares.argmax(axis=1)
    is_new = (best > 0) & np.concatenate([[True], best[1:] != best[:-1]])
    begins = np.flatnonzero(is_new)
    text = "".join(characters[index - 1] for index in best[begins])
    return text, float(np.clip(shares[begins, best[begins]].mean(), 0, 1)) if len(begins) else None


def check_params(given: Mapping[str, Any], package: ModelPackage) -> None:  # noqa: ARG001 (as every family's)
    """A call has no parameters.

    Raises:
        ParameterInvalid: something was given.
    """
    refuse_all(given, "a reader of lines")


RECIPES = {text_ocr.TASK: Recipe(fitted, postprocess, check_params)}
