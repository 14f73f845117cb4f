"""Detectors of the DETR kind in Hugging Face format: a fixed number of queries, no suppression of boxes.

Outputs are `logits (n, queries, classes)` and `pred_boxes (n, queries, 4)`: centre and size as shares of the picture.
DETR and YOLOS have one class more, "no object", and a softmax (arXiv 2005.12872, section 3.1); RT-DETR has a sigmoid a
class, and the best query-class pairs are taken (arXiv 2304.08069). Steps before the network are those of
`preprocessor_config.json`; pictures are resized by Pillow, whose filter the weights were trained with: OpenCV's
bilinear filter does not smooth when it shrinks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import centre_to_corners, top_k
from inference_engine.errors import EngineError, OutputInvalid, ParameterInvalid
from inference_engine.hf_folder import MASKED
from inference_engine.images import Fit, Image, to_original
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.scores import sigmoid, softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections
from inference_engine.tasks.parts.parameters import class_thresholds

#: Architectures whose last class is "no object".
SOFTMAX = frozenset({"detr", "yolos"})
#: Whether pixels are normalised where the file does not say (transformers 5, the image processors' defaults).
_NORMALISED = {"rt_detr": False}
#: ImageNet's mean and deviation, of pixels from 0 to 1.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BILINEAR = 2  # PIL.Image.Resampling


def preprocess(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """Resize, rescale, normalise and pad one picture into the model's canvas."""
    steps = dict(package.module[1]) if package.module else {}
    height, width = image.shape[:2]
    new_h, new_w = resized_hw((height, width), steps["size"]) if steps.get("do_resize", True) else (height, width)
    canvas_h, canvas_w = package.config.network_input.hw
    if new_h > canvas_h or new_w > canvas_w:
        raise OutputInvalid(f"a picture of {new_h} x {new_w} does not fit the canvas of {canvas_h} x {canvas_w}")
    pixels = np.zeros((1, 3, canvas_h, canvas_w), dtype=np.float32)
    resized = _resize(image, (new_h, new_w), steps.get("resample", _BILINEAR))
    pixels[0, :, :new_h, :new_w] = _scaled(resized, steps, package.architecture)
    tensors: dict[str, npt.NDArray[Any]] = {"pixel_values": pixels}
    if package.architecture in MASKED:
        mask = np.zeros((1, canvas_h, canvas_w), dtype=np.int64)
        mask[0, :new_h, :new_w] = 1
        tensors["pixel_mask"] = mask
    return tensors, Fit((new_w / width, new_h / height), (0, 0), (height, width))


def resized_hw(hw: tuple[int, int], size: Mapping[str, int]) -> tuple[int, int]:
    """Height and width of the resized picture: fixed, or the shortest edge as asked unless the longest grows too long.

    Sides are cut to whole pixels as transformers does it, so that the network sees the same pixels.
    """
    if "height" in size:
        return size["height"], size["width"]
    short, long = min(hw), max(hw)
    edge: float = size["shortest_edge"]
    if long / short * edge > size["longest_edge"]:
        edge = size["longest_edge"] * short / long
    other = max(1, int(edge * long / short))
    side = max(1, round(edge))
    if short == side:
        return hw
    return (side, other) if hw[0] <= hw[1] else (other, side)


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
    pick = _best_class if package.architecture in SOFTMAX else _best_pairs
    query, class_id, confidence = pick(logits.astype(np.float32, copy=False))
    chosen = np.flatnonzero(confidence >= class_thresholds(params, package.class_names)[class_id])
    chosen = chosen[top_k(confidence[chosen], params.max_detections)]
    height, width = fit.original_hw
    share = np.asarray((width, height, width, height), dtype=np.float32)
    corners = centre_to_corners(boxes[query[chosen]].astype(np.float32, copy=False)) * share
    whole = Fit((1.0, 1.0), (0, 0), fit.original_hw)
    return Detections(
        to_original(corners, whole), confidence[chosen], class_id[chosen], fit.original_hw, package.class_names
    )


_Picked = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]


def _best_class(logits: npt.NDArray[np.float32]) -> _Picked:
    """One class a query: the best but for "no object", the last."""
    shares = softmax(logits)
    return np.arange(len(logits)), shares[:, :-1].argmax(axis=1), shares[:, :-1].max(axis=1)


def _best_pairs(logits: npt.NDArray[np.float32]) -> _Picked:
    """As many query-class pairs as there are queries, so that a query may stand for two classes."""
    scores = sigmoid(logits).reshape(-1)
    best = top_k(scores, len(logits))
    return best // logits.shape[1], best % logits.shape[1], scores[best]


def _resize(image: Image, hw: tuple[int, int], resample: int) -> Image:
    if hw == image.shape[:2]:
        return image
    from PIL import Image as Pictures

    resized = Pictures.fromarray(image).resize((hw[1], hw[0]), Pictures.Resampling(resample))
    return np.asarray(resized)


def _scaled(image: Image, steps: Mapping[str, Any], architecture: str) -> npt.NDArray[np.float32]:
    pixels = image.transpose(2, 0, 1).astype(np.float32)
    if steps.get("do_rescale", True):
        pixels *= np.float32(steps.get("rescale_factor", 1 / 255))
    if steps.get("do_normalize", _NORMALISED.get(architecture, True)):
        pixels -= np.asarray(steps.get("image_mean") or _MEAN, dtype=np.float32)[:, None, None]
        pixels /= np.asarray(steps.get("image_std") or _STD, dtype=np.float32)[:, None, None]
    return pixels


def check_params(given: Mapping[str, Any], package: ModelPackage) -> DetectionParams:
    """The detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of boxes, which these models do without.
    """
    if late := [name for name in ("iou_threshold", "class_agnostic") if given.get(name) is not None]:
        raise ParameterInvalid(f"{late[0]} cannot be changed: no box suppresses another in {package.architecture}")
    return detection.detection_params(given, package.config.nms, package.class_names, package.recommended)


RECIPES = {detection.TASK: Recipe(preprocess, postprocess, check_params)}
