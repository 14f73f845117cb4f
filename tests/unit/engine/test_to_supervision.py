"""Predictions as supervision's own types, which draw and evaluate them."""

import numpy as np
import pytest
import supervision

from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks import known_tasks, prediction_type
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.tasks.panoptic_segmentation import PanopticSegments
from inference_engine.tasks.promptable_segmentation import PromptedMasks
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from inference_engine.tasks.structured_ocr import StructuredText

NAMES = ("cat", "dog")
BOXES = np.array([[1, 2, 5, 6], [0, 0, 3, 3]], np.float32)
SCORES, IDS = np.array([0.9, 0.5], np.float32), np.array([1, 0])
DENSE = np.zeros((2, 8, 9), np.bool_)
DENSE[0, 2:6, 1:5] = DENSE[1, :3, :3] = True
MASKS = InstancesRLEMasks.from_dense([DENSE], (8, 9))
WITHOUT = {"embedding", "text-only-ocr", "vlm", "action-recognition"}


def test_every_type_that_supervision_knows_is_given_to_it():
    assert {task for task in known_tasks() if not hasattr(prediction_type(task), "to_supervision")} == WITHOUT


def test_instances_have_their_masks_and_names():
    seen = InstanceDetections(BOXES, SCORES, IDS, MASKS, (8, 9), NAMES).to_supervision()

    np.testing.assert_array_equal(seen.mask, DENSE)
    assert seen.data["class_name"].tolist() == ["dog", "cat"]


def test_segments_have_the_boxes_around_them_and_say_what_is_a_thing():
    seen = PanopticSegments(SCORES, IDS, np.array([True, False]), MASKS, (8, 9), NAMES).to_supervision()

    np.testing.assert_array_equal(seen.mask, DENSE)
    np.testing.assert_array_equal(seen.xyxy, BOXES)
    assert seen.data["is_thing"].tolist() == [True, False]


def test_prompted_masks_have_the_boxes_around_them():
    seen = PromptedMasks(MASKS, SCORES, np.array([0, 1]), (8, 9)).to_supervision()

    np.testing.assert_array_equal(seen.xyxy, BOXES)
    assert seen.class_id.tolist() == [0, 1]


def test_unsure_points_are_not_visible():
    points = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    sure = np.array([[0.9, 0.1], [0.5, 0.5]], np.float32)
    skeletons = (Skeleton(("nose", "tail")),) * 2

    seen = KeyPoints(points, sure, BOXES, SCORES, IDS, (8, 9), NAMES, skeletons, 0.5).to_supervision()

    np.testing.assert_array_equal(seen.xy, points)
    assert seen.visible.tolist() == [[True, False], [True, True]]
    np.testing.assert_array_equal(seen.detection_confidence, SCORES)


def test_turned_boxes_are_drawn_by_their_corners():
    turned = np.array([[30, 20, 20, 10, 0.0]], np.float32)
    seen = OrientedDetections(turned, SCORES[:1], IDS[:1], (40, 60), NAMES).to_supervision()

    drawn = supervision.OrientedBoxAnnotator(thickness=1).annotate(np.zeros((40, 60, 3), np.uint8), seen)

    assert seen.data["xyxyxyxy"].shape == (1, 4, 2)
    assert drawn[15, 20:40].any(axis=1).all()
    assert not drawn[10].any()


def test_parts_of_a_text_carry_it():
    seen = StructuredText("a b", ("a", "b"), BOXES, SCORES, IDS, (8, 9), NAMES).to_supervision()

    assert seen.data["text"].tolist() == ["a", "b"]


def test_classes_keep_their_order():
    seen = ClassificationPrediction(IDS, SCORES, (8, 9), NAMES).to_supervision()

    assert (seen.class_id.tolist(), seen.get_top_k(1)[0].tolist()) == ([1, 0], [1])


def test_a_map_is_one_mask_a_class_that_is_there():
    labels = np.zeros((8, 9), np.uint8)
    labels[2:6, 1:5] = 1

    seen = SemanticSegmentationResult(labels, ("ground", "dog", "cat")).to_supervision()

    assert seen.data["class_name"].tolist() == ["ground", "dog"]
    np.testing.assert_array_equal(seen.mask[1], labels == 1)


@pytest.mark.parametrize(
    ("unit", "kind"), [(DepthUnit.METRES, "depth_m"), (DepthUnit.RELATIVE_INVERSE, "relative_inverse")]
)
def test_depth_says_what_its_numbers_are(unit, kind):
    depth = np.ones((4, 5), np.float32)

    seen = DepthMap(depth, unit).to_supervision()

    assert seen.kind.value == kind
    np.testing.assert_array_equal(seen.values, depth)
