"""Key points of a YOLO head: x and y in network pixels and a confidence in [0, 1] for each place of a point.

Every box has as many places as the class with the most points (ultralytics 8.x, pose head of an export).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference_engine.candidates import Kept, check_fused
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo.decoding import decode_heads
from inference_engine.images import Fit, points_to_original, to_original
from inference_engine.packages import ModelPackage
from inference_engine.scores import activated
from inference_engine.sessions import Tensors
from inference_engine.tasks import keypoints
from inference_engine.tasks.keypoints import KeyPoints, KeyPointsParams


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: KeyPointsParams
) -> list[KeyPoints | EngineError]:
    """Decode a batch, image by image."""
    head = next(iter(outputs.values()))
    found = decode_heads(head, len(fits), package, params, extra=3 * package.key_point_places)
    return [_key_points(kept, fit, package, params) for kept, fit in zip(found, fits, strict=True)]


def _key_points(
    kept: Kept | EngineError, fit: Fit, package: ModelPackage, params: KeyPointsParams
) -> KeyPoints | EngineError:
    if isinstance(kept, EngineError):
        return kept
    places = kept.extra.reshape(len(kept.extra), package.key_point_places, 3)
    sure = activated(places[..., 2])
    if sure is None:
        return OutputInvalid("the model gave points with a confidence that is not from 0 to 1 for this image")
    counts = np.asarray([len(skeleton.names) for skeleton in package.skeletons])[kept.class_id]
    is_there = np.arange(package.key_point_places) < counts[:, None]
    return KeyPoints(
        xy=points_to_original(places[..., :2], fit),
        key_points_confidence=np.where(is_there, sure, np.float32(0)),
        xyxy=to_original(kept.boxes, fit),
        confidence=kept.confidence,
        class_id=kept.class_id,
        image_hw=fit.original_hw,
        class_names=package.class_names,
        skeletons=package.skeletons,
        key_points_threshold=params.key_points_threshold,
    )


def check_params(given: Mapping[str, Any], package: ModelPackage) -> KeyPointsParams:
    """The detector's parameters, filled up from the package.

    Raises:
        ParameterInvalid: a value is wrong, or asks for suppression of a network that has done its own.
    """
    check_fused(given, package)
    return keypoints.key_points_params(given, package.config.nms, package.class_names, package.recommended)
