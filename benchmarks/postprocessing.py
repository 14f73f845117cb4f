"""What decoding costs on one core: a YOLO head of 8,400 anchors and 80 classes, and masks of a picture of 1080p.

    python benchmarks/postprocessing.py

Best of many rounds, one thread: the head with 20 objects, each found by ten anchors, at the usual confidence and at
confidence 0, where suppression looks at its bounded number of candidates; the same objects with masks; and the
encoding of 20 masks that lie in memory already.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from _rounds import best_of, print_table

from inference_engine.families import recipe
from inference_engine.images import Fit, plan_fit
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.masks import InstancesRLEMasks
from inference_engine.opencv import import_cv2
from inference_engine.packages import ModelPackage
from inference_engine.tasks import detection, instance_segmentation

ANCHORS, CLASSES, OBJECTS, SIDE = 8400, 80, 20, 640
HW, PROTOTYPES = (1080, 1920), (32, 160, 160)
NETWORK = NetworkInput((SIDE, SIDE))
HEAD, MASKS = "head, 20 boxes", "20 masks, memory to RLE"


def package(task: str) -> ModelPackage:
    """A YOLO package as data."""
    return ModelPackage(
        "benchmark",
        "benchmark",
        "onnx",
        "yolov8",
        "yolo",
        task,
        Path("model.onnx"),
        "fp32",
        tuple(f"class {index}" for index in range(CLASSES)),
        InferenceConfig(NETWORK),
        "0" * 64,
    )


def head(extra: int = 0) -> npt.NDArray[np.float32]:
    """`(1, rows, anchors)`: low scores as of background, and ten anchors for each object, a pixel apart."""
    random = np.random.default_rng(0)
    made = np.zeros((4 + CLASSES + extra, ANCHORS), np.float32)
    made[:2], made[2:4] = random.uniform(0, SIDE, (2, ANCHORS)), random.uniform(8, 64, (2, ANCHORS))
    made[4 : 4 + CLASSES] = random.uniform(0, 0.02, (CLASSES, ANCHORS))
    made[4 + CLASSES :] = random.normal(size=(extra, ANCHORS))
    for place, anchors in enumerate(random.permutation(ANCHORS)[: OBJECTS * 10].reshape(OBJECTS, 10)):
        centre = np.asarray([60 + 130 * (place % 5), 170 + 80 * (place // 5)])
        made[:2, anchors] = centre[:, None] + random.uniform(-1, 1, (2, 10))
        made[2:4, anchors] = 90
        made[4 + random.integers(CLASSES), anchors] = random.uniform(0.5, 0.95, 10)
    return made[None]


def dense_masks() -> npt.NDArray[np.bool_]:
    """`(20, 1080, 1920)`: an ellipse each, stored column by column as the encoder reads them."""
    cv2, random = import_cv2(), np.random.default_rng(1)
    masks = np.zeros((OBJECTS, HW[1], HW[0]), np.uint8)
    for mask in masks:
        centre = random.integers(200, 880, 2).tolist()
        cv2.ellipse(mask, centre, random.integers(40, 300, 2).tolist(), 30, 0, 360, 1, -1)
    return masks.view(np.bool_).transpose(0, 2, 1)


def work() -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    fit, _ = plan_fit(HW, NETWORK)
    detector, segmenter = package(detection.TASK), package(instance_segmentation.TASK)
    boxes, scored = head(), {"output0": head(PROTOTYPES[0])}
    scored["output1"] = np.random.default_rng(2).normal(size=(1, *PROTOTYPES)).astype(np.float32)
    masks = dense_masks()
    return {
        HEAD: _run(detector, {"output0": boxes}, fit, 0.4),
        "head, confidence 0": _run(detector, {"output0": boxes}, fit, 0.0),
        "head and 20 masks of noise, 1080p": _run(segmenter, scored, fit, 0.4),
        MASKS: lambda: InstancesRLEMasks.from_dense([masks], HW),
    }


def _run(
    made: ModelPackage, outputs: dict[str, npt.NDArray[np.float32]], fit: Fit, confidence: float
) -> Callable[[], object]:
    found = recipe(made.family, made.task)
    params = found.check_params({"confidence": confidence}, made)
    return lambda: found.postprocess(outputs, [fit], made, params)


def measure(rounds: int, only: tuple[str, ...] = ()) -> dict[str, float]:
    """Milliseconds, the best round of each."""
    return best_of(rounds, work(), only)


if __name__ == "__main__":
    print_table(__doc__ or "", measure)
