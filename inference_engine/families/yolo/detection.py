"""Boxes of a YOLO head."""

from __future__ import annotations

from collections.abc import Sequence

from inference_engine.candidates import Kept
from inference_engine.errors import EngineError
from inference_engine.families.yolo.decoding import decode_heads
from inference_engine.images import Fit, to_original
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors
from inference_engine.suppressed_outputs import suppressed_rows
from inference_engine.tasks.detection import DetectionParams, Detections


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    # Suppression inside the network gives rows, or boxes, scores and classes apart.
    is_apart = package.config.is_fused and len(outputs) > 1
    head = suppressed_rows(outputs, len(fits)) if is_apart else next(iter(outputs.values()))
    found = decode_heads(head, len(fits), package, params)
    return [detections(kept, fit, package) for kept, fit in zip(found, fits, strict=True)]


def detections(kept: Kept | EngineError, fit: Fit, package: ModelPackage) -> Detections | EngineError:
    """The boxes that were kept, in pixels of the original image."""
    if isinstance(kept, EngineError):
        return kept
    return Detections(
        to_original(kept.boxes, fit), kept.confidence, kept.class_id, fit.original_hw, package.class_names
    )
