"""Turned boxes of a YOLO head: the task's one number is the angle from the x axis to the width, in radians.

Boxes are centre x, centre y, width, height also where they are suppressed already (ultralytics 8.x, `OBB` in
ultralytics/nn/modules/head.py and `NMSModel` in ultralytics/engine/exporter.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.candidates import Kept, keep_candidates, keep_suppressed
from inference_engine.errors import EngineError, OutputInvalid
from inference_engine.families.yolo.decoding import check_head
from inference_engine.images import Fit
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.tasks.detection import DetectionParams
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.turned_boxes import suppress_turned, turned_to_original


class _TurnedBoxes:
    """Centre x, centre y, width, height, angle."""

    suppress = staticmethod(suppress_turned)

    @staticmethod
    def read(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """As they are."""
        return numbers


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[OrientedDetections | EngineError]:
    """Decode a batch, image by image."""
    heads = next(iter(outputs.values()))
    check_head(heads, len(fits), package, extra=1)
    return [_oriented(_kept(head, package, params), fit, package) for head, fit in zip(heads, fits, strict=True)]


def _kept(head: npt.NDArray[Any], package: ModelPackage, params: DetectionParams) -> Kept | EngineError:
    if package.config.is_fused:
        return keep_suppressed(head, package, params)
    turned = np.concatenate([head[:4], head[-1:]]).T
    return keep_candidates(turned, head[4:-1], turned[:, :0], package, params, _TurnedBoxes())


def _oriented(kept: Kept | EngineError, fit: Fit, package: ModelPackage) -> OrientedDetections | EngineError:
    if isinstance(kept, EngineError):
        return kept
    # The angle of a box that was suppressed already stands behind its class.
    xywhr = turned_to_original(np.concatenate([kept.boxes, kept.extra], axis=1), fit)
    if not np.isfinite(xywhr).all():  # a side that is nearly infinite grows with a picture that was shrunk
        return OutputInvalid("the model gave boxes that are not finite in pixels of the image for this image")
    return OrientedDetections(xywhr, kept.confidence, kept.class_id, fit.original_hw, package.class_names)
