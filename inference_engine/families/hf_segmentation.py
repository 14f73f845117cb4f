"""Mask classifiers in Hugging Face format: each query has a class and a mask over the whole picture.

Outputs are `class_queries_logits (n, queries, classes + 1)`, the last class "no object", and `masks_queries_logits
(n, queries, h, w)` (MaskFormer, arXiv 2107.06278, section 3; Mask2Former, arXiv 2112.01527; EoMT, arXiv 2503.19108;
OneFormer, arXiv 2211.06220). An instance's score is that of its class times the mean of its mask's sigmoid where that
is above one half (`post_process_instance_segmentation` of each in transformers 5), and instances may overlap;
OneFormer's have the score of their class, and each pixel is of one of them at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.boxes import top_k
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families import hf_detection, hf_semantic
from inference_engine.hf_folder import settings_of
from inference_engine.hf_inputs import prepared
from inference_engine.hf_panoptic import Queries, Rules, divided
from inference_engine.images import Fit
from inference_engine.maps import Between, Maps, resized
from inference_engine.masks import InstancesRLEMasks
from inference_engine.model import Recipe
from inference_engine.packages import ModelPackage
from inference_engine.scores import sigmoid, softmax
from inference_engine.sessions import Tensors
from inference_engine.tasks import instance_segmentation, panoptic_segmentation, semantic_segmentation
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.panoptic_segmentation import PanopticSegmentationParams, PanopticSegments
from inference_engine.tasks.parts.parameters import class_thresholds
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationParams, SemanticSegmentationResult

#: Height and width that masks are brought to first (transformers 5, Mask2FormerImageProcessor), whatever the input's.
_GRIDS = {"mask2former": (384, 384)}
#: Architectures that see the picture in the upper left of a canvas, and give one class a query.
_ON_CANVAS = frozenset({"eomt"})
#: Architectures whose instances have no pixel in common, and the thresholds by which they are divided there.
_APART = frozenset({"oneformer"})
_APART_MASK, _APART_OVERLAP = 0.5, 0.8
#: Confidence of segments where nobody says one.
_SEGMENT_CONFIDENCE = {"eomt": 0.8}
#: Classes of COCO's panoptic files, of which the things come first; stuff begins with the class of that name
#: (cocodataset/panopticapi, panoptic_coco_categories.json).
_COCO_CLASSES, _COCO_THINGS, _COCO_STUFF = 133, 80, "banner"
_EPSILON = np.float32(1e-6)  # as transformers has it, against a mask without a pixel


def instances(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[InstanceDetections | EngineError]:
    """Find the instances of a batch, image by image."""
    return [_instances(*item, package, params) for item in _items(outputs, fits, package)]


def semantic(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: SemanticSegmentationParams
) -> list[SemanticSegmentationResult | EngineError]:
    """Label the pixels of a batch, image by image: a class has the sum of its queries' masks."""
    return [_semantic(*item, package, params) for item in _items(outputs, fits, package)]


def panoptic(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: PanopticSegmentationParams
) -> list[PanopticSegments | EngineError]:
    """Divide the pictures of a batch into segments, image by image."""
    return [_panoptic(*item, package, params) for item in _items(outputs, fits, package)]


_Item = tuple[npt.NDArray[Any], npt.NDArray[Any], Fit]


def _items(outputs: Tensors, fits: Sequence[Fit], package: ModelPackage) -> Iterator[_Item]:
    logits, masks = outputs.values()
    expected = len(fits), len(package.class_names) + 1
    if logits.ndim != 3 or masks.ndim != 4 or logits.shape[::2] != expected or masks.shape[:2] != logits.shape[:2]:
        raise OutputInvalid(
            f"classes {logits.shape} and masks {masks.shape}, expected ({expected[0]}, queries, {expected[1]}) and "
            f"({expected[0]}, queries, h, w)"
        )
    return zip(logits, masks, fits, strict=True)


def _instances(
    logits: npt.NDArray[Any], masks: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> InstanceDetections | EngineError:
    if not (np.isfinite(logits).all() and np.isfinite(masks).all()):
        return OutputInvalid("the model gave numbers that are not finite for this image")
    if package.architecture in _APART:
        return _instances_apart(logits, masks, fit, package, params)
    planes = _planes(masks, fit, package)
    shares = softmax(logits)[:, :-1]
    if package.architecture in _ON_CANVAS:
        query, class_id, scores = np.arange(len(shares)), shares.argmax(axis=1), shares.max(axis=1)
    else:
        best = top_k(shares.reshape(-1), len(shares))
        query, class_id, scores = best // shares.shape[1], best % shares.shape[1], shares.reshape(-1)[best]
    confidence = scores * _mean_inside(planes)[query]
    sure = np.flatnonzero(confidence >= class_thresholds(params, package.class_names)[class_id])
    shown = [number for number in sure[top_k(confidence[sure], None)] if (planes[query[number]] > 0).any()]
    found = InstancesRLEMasks.from_dense(_dense(planes, query[shown], fit.original_hw), fit.original_hw)
    # A mask of a few pixels may have none left at the picture's size.
    kept = np.flatnonzero(found.areas() > 0)[: params.max_detections]
    encoded = InstancesRLEMasks(fit.original_hw, tuple(found.counts[index] for index in kept))
    chosen = np.asarray(shown, dtype=np.int64)[kept]
    return InstanceDetections(
        encoded.xyxy(), confidence[chosen], class_id[chosen], encoded, fit.original_hw, package.class_names
    )


def _instances_apart(
    logits: npt.NDArray[Any], masks: npt.NDArray[Any], fit: Fit, package: ModelPackage, params: DetectionParams
) -> InstanceDetections:
    """The best query-class pairs, among which the picture is divided by their masks' logits (OneFormer)."""
    shares = softmax(logits)[:, :-1]
    best = top_k(shares.reshape(-1), len(shares))
    scores, class_id = shares.reshape(-1)[best], best % shares.shape[1]
    sure = scores >= class_thresholds(params, package.class_names)[class_id]
    query, pairs = (best // shares.shape[1])[sure], Queries(class_id[sure], scores[sure])
    planes = (resized(masks[one][None], fit.original_hw)[0] for one in query)
    rules = Rules(_APART_MASK, _APART_OVERLAP, frozenset(), frozenset(range(len(package.class_names))))
    found = divided(pairs, planes, rules, fit.original_hw, package.class_names)
    kept = InstancesRLEMasks(fit.original_hw, found.masks.counts[: params.max_detections])
    return InstanceDetections(
        kept.xyxy(), found.confidence[: len(kept)], found.class_id[: len(kept)], kept, fit.original_hw,
        package.class_names,
    )  # fmt: skip


def _panoptic(
    logits: npt.NDArray[Any],
    masks: npt.NDArray[Any],
    fit: Fit,
    package: ModelPackage,
    params: PanopticSegmentationParams,
) -> PanopticSegments | EngineError:
    if not (np.isfinite(logits).all() and np.isfinite(masks).all()):
        return OutputInvalid("the model gave numbers that are not finite for this image")
    names, shares = package.class_names, softmax(logits)
    class_id, scores = shares.argmax(axis=1), shares.max(axis=1)
    # What is not wanted still has its pixels; it is left out in the end. The last class is "no object".
    thresholds = np.append(class_thresholds(replace(params, classes=None), names), np.float32(np.inf))
    sure = np.flatnonzero(scores >= thresholds[class_id])
    planes = (_probabilities(masks[query], fit, package) for query in sure)
    rules = Rules(
        params.mask_threshold,
        params.overlap_threshold,
        frozenset(names.index(name) for name in params.stuff_classes),
        frozenset(names.index(name) for name in (names if params.classes is None else params.classes)),
        is_cut=package.architecture in _ON_CANVAS,
    )
    return divided(Queries(class_id[sure], scores[sure]), planes, rules, fit.original_hw, names)


def _probabilities(mask: npt.NDArray[Any], fit: Fit, package: ModelPackage) -> npt.NDArray[np.float32]:
    """One mask `(height, width)` of the original image: probabilities are resized, but for those on a canvas."""
    plane = _planes(mask[None], fit, package)
    found: npt.NDArray[np.float32] = resized(sigmoid(plane), fit.original_hw)[0]
    return found


def stuff_of(package: ModelPackage) -> tuple[str, ...]:
    """Names of classes that are not counted, as far as a folder says it; none where it does not."""
    names, metadata = package.class_names, settings_of(package).steps.get("metadata")
    things = metadata.get("thing_ids") if isinstance(metadata, Mapping) else None
    if isinstance(things, list):
        return tuple(name for index, name in enumerate(names) if index not in things)
    is_coco = len(names) == _COCO_CLASSES and names[_COCO_THINGS] == _COCO_STUFF
    return names[_COCO_THINGS:] if is_coco else ()


def check_segments(given: Mapping[str, Any], package: ModelPackage) -> PanopticSegmentationParams:
    """The parameters of segments, filled up from the folder.

    Raises:
        ParameterInvalid: a value is wrong.
    """
    return panoptic_segmentation.panoptic_segmentation_params(
        given,
        package.class_names,
        package.recommended,
        confidence=_SEGMENT_CONFIDENCE.get(package.architecture, 0.5),
        stuff_classes=stuff_of(package),
    )


def _planes(masks: npt.NDArray[Any], fit: Fit, package: ModelPackage) -> Maps:
    """The masks of one image's queries `(queries, h, w)` at the size at which they are scored, without the canvas."""
    if package.architecture not in _ON_CANVAS:
        return resized(masks, _GRIDS.get(package.architecture, (masks.shape[1], masks.shape[2])))
    canvas = resized(masks, package.config.network_input.hw)
    height, width = (round(side * scale) for side, scale in zip(fit.original_hw, fit.scale_xy[::-1], strict=True))
    return resized(canvas[:, :height, :width], fit.original_hw)


def _mean_inside(planes: Maps) -> npt.NDArray[np.float32]:
    """The mean sigmoid of each mask's own pixels, `(queries,)`."""
    inside = planes > 0
    total: npt.NDArray[np.float32] = np.where(inside, sigmoid(planes), np.float32(0)).sum(axis=(1, 2))
    mean: npt.NDArray[np.float32] = total / (inside.sum(axis=(1, 2)).astype(np.float32) + _EPSILON)
    return mean


def _dense(planes: Maps, queries: npt.NDArray[np.int64], hw: tuple[int, int]) -> Iterator[npt.NDArray[np.bool_]]:
    """Each mask `(1, height, width)` of the original image, one in memory at a time."""
    for query in queries:
        yield resized((planes[query] > 0)[None], hw, Between.NEAREST) > 0


def _semantic(
    logits: npt.NDArray[Any],
    masks: npt.NDArray[Any],
    fit: Fit,
    package: ModelPackage,
    params: SemanticSegmentationParams,
) -> SemanticSegmentationResult | EngineError:
    if not (np.isfinite(logits).all() and np.isfinite(masks).all()):
        return OutputInvalid("the model gave numbers that are not finite for this image")
    planes = sigmoid(_planes(masks, fit, package))
    by_class = (softmax(logits)[:, :-1].T @ planes.reshape(len(planes), -1)).reshape(-1, *planes.shape[1:])
    scores = resized(by_class, fit.original_hw)
    # Several queries of one class may add up to more than 1.
    return hf_semantic.labelled(scores, np.clip(scores.max(axis=0), 0, 1), package.class_names, params)


RECIPES = {
    instance_segmentation.TASK: Recipe(prepared, instances, hf_detection.check_params),
    semantic_segmentation.TASK: Recipe(prepared, semantic, hf_semantic.check_params),
    panoptic_segmentation.TASK: Recipe(prepared, panoptic, check_segments),
}
