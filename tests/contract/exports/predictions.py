"""One prediction of each kind, for a picture of 480 x 640, as the engine writes it."""

import dataclasses

import numpy as np

from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks import write_prediction
from inference_engine.tasks.action_recognition import ActionSpans
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.embedding import Embedding
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.tasks.promptable_segmentation import PromptedMasks
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from inference_engine.tasks.structured_ocr import StructuredText
from producer.exports.records import Kind

HW, F = (480, 640), np.float32
NAMES = ("cat", "dog", "Fußgänger")
BOXES = np.array([[100, 50, 300, 250], [310.5, 20, 400, 220]], F)
SCORES, IDS = np.array([0.9, 0.75], F), np.array([1, 0])


def dense_masks():
    """Two masks: one with a hole and a part apart, one whole."""
    masks = np.zeros((2, *HW), bool)
    masks[0, 60:240, 110:280] = True
    masks[0, 100:120, 150:160] = False
    masks[0, 60:80, 290:298] = True
    masks[1, 30:200, 320:390] = True
    return masks


def label_map():
    found = np.zeros(HW, np.uint8)
    found[100:200, 100:300], found[300:400, 50:60] = 2, 1
    return found


def depth_map():
    return np.linspace(1, 20, HW[0] * HW[1], dtype=F).reshape(HW)


def _runs():
    return InstancesRLEMasks.from_dense([dense_masks()], HW)


def _points():
    skeletons = (Skeleton(("nose", "tail"), ((0, 1),)), Skeleton(("a", "b", "c"), ((0, 2), (2, 1))), Skeleton(()))
    xy = np.array([[[150, 60], [200, 100], [260.25, 200]], [[330, 40], [380, 200], [0, 0]]], F)
    sure = np.array([[0.9, 0.2, 0.8], [0.6, 0.7, 0]], F)
    return KeyPoints(xy, sure, BOXES, SCORES, IDS, HW, NAMES, skeletons, 0.5)


#: By kind, and `prompted` for masks without classes and boxes.
MAKERS = {
    Kind.BOXES: lambda: Detections(BOXES, SCORES, IDS, HW, NAMES),
    Kind.MASKS: lambda: InstanceDetections(BOXES, SCORES, IDS, _runs(), HW, NAMES),
    Kind.KEY_POINTS: _points,
    Kind.TURNED: lambda: OrientedDetections(
        np.array([[200, 150, 120, 40, 0.5], [400, 300, 60, 90, 0]], F), SCORES, IDS, HW, NAMES
    ),
    Kind.CLASSES: lambda: ClassificationPrediction(np.array([2, 0]), SCORES, HW, NAMES),
    Kind.LABEL_MAP: lambda: SemanticSegmentationResult(label_map(), NAMES),
    Kind.DEPTH: lambda: DepthMap(depth_map(), DepthUnit.METRES),
    Kind.EMBEDDING: lambda: Embedding(np.array([0.6, -0.8, 0.25], F), HW),
    Kind.TEXT: lambda: StructuredText(
        "Exit\n5 km", ("Exit", "5 km <&>"), BOXES, SCORES, np.array([0, 0]), HW, ("line",)
    ),
    Kind.SPANS: lambda: ActionSpans(
        np.array([0, 30]), np.array([30, 45]), SCORES, IDS, 30.0, HW, NAMES
    ),
    "prompted": lambda: PromptedMasks(_runs(), SCORES, np.array([0, 1]), HW),
}  # fmt: skip


def with_kind(rows, kind):
    """The rows, those with a record with one of a kind instead."""
    record, blob = write_prediction(MAKERS[kind]())
    return [row if row.record is None else dataclasses.replace(row, record=record, blob=blob) for row in rows]
