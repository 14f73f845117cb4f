"""SAM and SAM 2: the masks of what points and boxes show (arXiv 2304.02643, 2408.00714), in Hugging Face format.

Objects that are shown alike, by as many points and a box or none, go through the mask decoder together; nothing is
padded, so an object's mask does not depend on what else is asked. Masks come back at a quarter of the canvas and are
enlarged bilinearly, as `post_process_masks` of transformers' image processors does it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.hf_pixels import normalised, resized
from inference_engine.hf_promptable import steps_of
from inference_engine.images import Fit, Image
from inference_engine.mask_prompts import MASKS, SCORES, groups, prompt_tensors
from inference_engine.masks import InstancesRLEMasks
from inference_engine.model import Recipe
from inference_engine.opencv import import_cv2
from inference_engine.packages import ModelPackage
from inference_engine.promptable_model import PromptableModel
from inference_engine.sessions import Tensors
from inference_engine.tasks import promptable_segmentation
from inference_engine.tasks.promptable_segmentation import PromptedMasks, PromptedMasksParams


def canvas(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """SAM keeps the picture's ratio and pads below and to the right; SAM 2 stretches it."""
    steps = steps_of(package)
    hw = image.shape[0], image.shape[1]
    new_h, new_w = fitted_hw(hw, steps["size"])
    height, width = package.config.network_input.hw
    pixels = np.zeros((1, 3, height, width), dtype=np.float32)
    pixels[0, :, :new_h, :new_w] = normalised(resized(image, (new_h, new_w), steps["resample"]), steps)
    return {"pixel_values": pixels}, Fit((new_w / hw[1], new_h / hw[0]), (0, 0), hw)


def fitted_hw(hw: tuple[int, int], size: Mapping[str, int]) -> tuple[int, int]:
    """Height and width of the picture on the canvas."""
    if "longest_edge" not in size:
        return size["height"], size["width"]
    scale = size["longest_edge"] / max(hw)
    return int(hw[0] * scale + 0.5), int(hw[1] * scale + 0.5)


def prepare(image: Image, package: ModelPackage, params: PromptedMasksParams | None) -> tuple[Tensors, Fit]:
    """The picture and what shows its objects; the picture alone where a model is warmed up."""
    tensors, fit = canvas(image, package)
    return {**tensors, **(prompt_tensors(params.prompts, fit) if params else {})}, fit


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: PromptedMasksParams
) -> list[PromptedMasks | EngineError]:
    """Each image's masks, enlarged to its size."""
    return [_masks(outputs, index, fit, package, params) for index, fit in enumerate(fits)]


def _masks(
    outputs: Tensors, index: int, fit: Fit, package: ModelPackage, params: PromptedMasksParams
) -> PromptedMasks | EngineError:
    rows: dict[int, tuple[npt.NDArray[Any], npt.NDArray[Any]]] = {}
    for number, indices in enumerate(groups(params.prompts)):
        low, scores = outputs[f"{MASKS}_{number}"][index], outputs[f"{SCORES}_{number}"][index]
        rows |= zip(indices, zip(low, scores, strict=True), strict=True)
    if not all(np.isfinite(low).all() and np.isfinite(scores).all() for low, scores in rows.values()):
        return OutputInvalid("the model gave numbers that are not finite for this image")
    kept: list[tuple[int, npt.NDArray[Any], float]] = []
    for prompt in range(len(params.prompts)):
        low, scores = rows[prompt]
        surest = np.argsort(-scores, kind="stable")[: None if params.multi_mask_output else 1]
        kept += [(prompt, low[place], float(scores[place])) for place in surest]
    chunks = (_enlarged(low, fit, package)[None] > 0 for _, low, _ in kept)
    return PromptedMasks(
        InstancesRLEMasks.from_dense(chunks, fit.original_hw),
        np.clip(np.asarray([score for *_, score in kept], dtype=np.float32), 0, 1),
        np.asarray([prompt for prompt, *_ in kept], dtype=np.int64),
        fit.original_hw,
    )


def _enlarged(low: npt.NDArray[Any], fit: Fit, package: ModelPackage) -> npt.NDArray[np.float32]:
    """A mask's logits at the picture's size; SAM's padding is cut away on the way."""
    steps, (height, width) = steps_of(package), fit.original_hw
    cv2 = import_cv2()
    logits = np.ascontiguousarray(low, dtype=np.float32)
    if "longest_edge" in steps["size"]:
        side = steps["size"]["longest_edge"]
        new_h, new_w = fitted_hw(fit.original_hw, steps["size"])
        logits = cv2.resize(logits, (side, side), interpolation=cv2.INTER_LINEAR)[:new_h, :new_w]
    found: npt.NDArray[np.float32] = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR)
    return found


RECIPES = {
    promptable_segmentation.TASK: Recipe(
        canvas,
        postprocess,
        lambda given, _: promptable_segmentation.prompted_masks_params(given),
        prepare,
        PromptableModel,
    )
}
