"""RT-DETR, D-FINE and DEIM as their exporters write them: `images`, `orig_target_sizes` to labels, boxes, scores.

The network takes the best query-class pairs itself and scales boxes to the sizes that it is given, width first
(`PostProcessor` in lyuwenyu/RT-DETR, rtdetrv2_pytorch/src/zoo/rtdetr/rtdetr_postprocessor.py, which D-FINE and DEIM
took over). It is given its own input's size, so that boxes come back from every way of fitting a picture alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference_engine.candidates import check_query_params, keep_suppressed
from inference_engine.errors import EngineError
from inference_engine.families.yolo.detection import detections
from inference_engine.images import Fit, Image
from inference_engine.model import Recipe, smoothly_fitted
from inference_engine.packages import ModelPackage
from inference_engine.sessions import Tensors, TensorSpec
from inference_engine.suppressed_outputs import suppressed_rows
from inference_engine.tasks import detection
from inference_engine.tasks.detection import DetectionParams, Detections


def preprocess(image: Image, package: ModelPackage) -> tuple[Tensors, Fit]:
    """The picture, resized as the weights were trained with, and the size of the network's input."""
    tensors, fit = smoothly_fitted(image, package)
    height, width = tensors["images"].shape[2:]
    return {**tensors, "orig_target_sizes": np.asarray([[width, height]], dtype=np.int64)}, fit


def postprocess(
    outputs: Tensors, fits: Sequence[Fit], package: ModelPackage, params: DetectionParams
) -> list[Detections | EngineError]:
    """Decode a batch, image by image."""
    found = [keep_suppressed(rows, package, params) for rows in suppressed_rows(outputs, len(fits))]
    return [detections(kept, fit, package) for kept, fit in zip(found, fits, strict=True)]


RECIPES = {
    detection.TASK: Recipe(
        preprocess, postprocess, check_query_params, more_inputs=(TensorSpec("orig_target_sizes", (None, 2), "int64"),)
    )
}
