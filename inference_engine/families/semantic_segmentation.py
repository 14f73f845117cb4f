"""Networks that score every pixel: logits `(n, classes, h, w)` at any stride (DeepLab v3+, SegFormer ...).

Logits are sampled at the original's pixels, then activated, then the best class is taken (arXiv 1802.02611, section 3,
upsamples logits too): the other way round borders between classes become stairs. One class alone has a sigmoid, and
what is not it is `background`. A package may name one class more than the network scores, `background`; a class that
it removed labels no pixel, and has no share of any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import EngineError, OutputInvalid, PackageInvalid, ParameterInvalid
from inference_engine.images import Fit
from inference_engine.model import Recipe, fitted
from inference_engine.packages import ModelPackage
from inference_engine.planes import Plane, Region, at_pixels, picture_part, plane_step, seen_region
from inference_engine.scores import sigmoid
from inference_engine.sessions import Tensors
from inference_engine.tasks import semantic_segmentation
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationParams, SemanticSegmentationResult

BACKGROUND = "background"
#: Logits that are sampled at once: 150 classes of a 12-megapixel picture would be 7 GB.
_BAND_BYTES = 64 << 20
#: Classes, the background among them, without which every pixel would be the same.
_FEWEST = 2
#: From here a single class is likelier than not.
_EVEN = 0.5
_Logits = npt.NDArray[np.float32]  # (classes, height, width)


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: SemanticSegmentationParams
) -> list[SemanticSegmentationResult | EngineError]:
    """Label a batch, image by image; of several outputs with four axes the first counts (others are auxiliary heads).

    Raises:
        OutputInvalid: there is none of as many classes as the package names, or one less than that.
        PackageInvalid: the package names one class only.
    """
    if len(package.class_names) < _FEWEST:
        raise PackageInvalid(
            f"{package.package_id}: a map of one class, {', '.join(package.class_names)}, says nothing: name what is "
            f"not it {BACKGROUND}"
        )
    heads = next((array for array in outputs.values() if array.ndim == 4), None)
    ids = _scored_ids(package, heads.shape[1]) if heads is not None and len(heads) == len(fits) else None
    if heads is None or ids is None:
        shapes = [array.shape for array in outputs.values()]
        raise OutputInvalid(f"outputs {shapes}, expected logits ({len(fits)}, {package.network_class_count}, h, w)")
    return [_label(head, ids, fit, package, params) for head, fit in zip(heads, fits, strict=True)]


def _scored_ids(package: ModelPackage, scored: int) -> tuple[int, ...] | None:
    """Class ids of results, or -1, of what the network scores: all classes, or all but the background; else None."""
    names = package.network_classes or package.class_names
    named = list(zip(names, package.reported_ids, strict=True))
    for each in (named, [(name, class_id) for name, class_id in named if name != BACKGROUND]):
        if len(each) == scored:
            return tuple(class_id for _, class_id in each)
    return None


def _label(
    head: npt.NDArray[Any],
    scored_ids: tuple[int, ...],
    fit: Fit,
    package: ModelPackage,
    params: SemanticSegmentationParams,
) -> SemanticSegmentationResult | EngineError:
    if not np.isfinite(head).all():
        return OutputInvalid("the model gave logits that are not finite numbers for this image")
    (height, width), names = fit.original_hw, package.class_names
    region = seen_region(fit, package.config.network_input)
    background = names.index(BACKGROUND) if BACKGROUND in names else None
    if background is None and region != (0, 0, width, height):
        return OutputInvalid(
            f"the network sees {region} of this picture of {height} x {width} only, and no class is called {BACKGROUND}"
        )
    labels = np.full((height, width), background or 0, dtype=np.uint8 if len(names) <= 256 else np.uint16)
    confidence = np.zeros((height, width), dtype=np.uint8) if params.with_confidence else None
    kept = [place for place, class_id in enumerate(scored_ids) if class_id >= 0]
    ids = np.asarray([scored_ids[place] for place in kept], dtype=labels.dtype)
    logits = (head if len(kept) == len(head) else head[kept]).astype(np.float32, copy=False)
    for left, top, right, bottom, band in _bands(logits, region, fit, package):
        best, score = _best(band, package)
        found = ids[best]
        if background is not None:
            found[score < _threshold(params, len(ids))] = background
        labels[top:bottom, left:right] = found
        if confidence is not None:
            confidence[top:bottom, left:right] = np.rint(score * 255)
    return SemanticSegmentationResult(labels, names, confidence)


def _threshold(params: SemanticSegmentationParams, scored: int) -> np.float32:
    """A single class must be likelier than its absence where nothing else is asked for."""
    return np.float32(params.confidence or (_EVEN if scored == 1 else 0.0))


def _bands(
    logits: _Logits, region: Region, fit: Fit, package: ModelPackage
) -> Iterator[tuple[int, int, int, int, _Logits]]:
    """The logits at the pixels of the original, some of its rows at a time."""
    step = plane_step(logits.shape[1:], fit, package.config.network_input)
    rows_in, columns_in = picture_part(logits.shape[1:], fit, step)
    part, origin = np.ascontiguousarray(logits[:, rows_in, columns_in]), (rows_in.start, columns_in.start)
    left, top, right, bottom = region
    rows = max(1, _BAND_BYTES // (4 * len(logits) * max(right - left, 1)))
    for start in range(top, bottom, rows):
        end = min(start + rows, bottom)
        band = (left, start, right, end)
        yield *band, np.stack([at_pixels(plane, band, fit, step, origin) for plane in part])


def _best(band: _Logits, package: ModelPackage) -> tuple[npt.NDArray[np.int64], Plane]:
    """Index and score of each pixel's best class."""
    if len(band) == 1:
        return np.zeros(band.shape[1:], dtype=np.int64), sigmoid(band[0])
    best, highest = band.argmax(axis=0), band.max(axis=0)
    if package.config.post_processing == "sigmoid":
        return best, sigmoid(highest)
    # The softmax of the largest: its own power is 1.
    score: Plane = 1 / np.exp(band - highest).sum(axis=0)
    return best, score


def check_params(given: Mapping[str, Any], package: ModelPackage) -> SemanticSegmentationParams:
    """The task's parameters, filled up from what the package recommends.

    Raises:
        PackageInvalid: the package recommends thresholds of single classes.
        ParameterInvalid: a value is wrong, or a threshold is asked for and no class is the background.
    """
    if package.recommended.per_class_confidence:
        raise PackageInvalid(f"{package.package_id} recommends per_class_confidence: pixels have one threshold for all")
    filled = {"confidence": package.recommended.confidence} | {k: v for k, v in given.items() if v is not None}
    params = semantic_segmentation.semantic_segmentation_params(filled)
    if params.confidence and BACKGROUND not in package.class_names:
        raise ParameterInvalid(
            f"confidence {params.confidence}: pixels below it become {BACKGROUND}, "
            "and no class of this model is called so"
        )
    return params


RECIPES = {semantic_segmentation.TASK: Recipe(fitted, postprocess, check_params)}
