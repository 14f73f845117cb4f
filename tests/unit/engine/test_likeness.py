"""How alike masks, key points and turned boxes of two candidates are."""

from dataclasses import replace

import numpy as np
import pytest

from inference_engine.agreement import TOLERANCES, compare_detections
from inference_engine.likeness import LIKENESSES
from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from inference_engine.tasks.oriented import OrientedDetections

HW, NAMES = (40, 60), ("cat", "dog")
XYXY = np.asarray([[4, 4, 24, 24], [30, 10, 50, 30]], np.float32)
SCORES, IDS = np.asarray([0.9, 0.8], np.float32), np.asarray([0, 1])


def instances(*shift):
    """Two boxes with a mask each, which lies this much aside."""
    dense = np.zeros((2, *HW), np.bool_)
    for mask, (x0, y0, x1, y1), by in zip(dense, XYXY.astype(int), shift, strict=True):
        mask[y0:y1, x0 + by : x1 + by] = True
    return InstanceDetections(XYXY, SCORES, IDS, InstancesRLEMasks.from_dense([dense], HW), HW, NAMES)


def points(shift=0.0, confidence=0.9):
    xy = np.asarray([[[8, 8], [20, 20]], [[35, 15], [45, 25]]], np.float32)
    xy[1, 1, 0] += shift
    sure = np.full((2, 2), 0.9, np.float32)
    sure[1, 1] = confidence
    return KeyPoints(xy, sure, XYXY, SCORES, IDS, HW, NAMES, (Skeleton(("a", "b")),) * 2)


def turned(angle=0.0):
    boxes = np.asarray([[14, 14, 20, 6, 0.3], [40, 20, 20, 5, angle]], np.float32)
    return OrientedDetections(boxes, SCORES, IDS, HW, NAMES)


@pytest.mark.parametrize(
    ("task", "one", "apart"),
    [
        ("instance-segmentation", instances(0, 0), instances(0, 10)),
        ("keypoint-detection", points(), points(shift=9.0)),
        ("oriented-object-detection", turned(), turned(np.pi / 2)),
    ],
    ids=["masks", "points", "angles"],
)
def test_what_lies_beside_equal_boxes_counts(task, one, apart):
    tolerance = TOLERANCES["int8"]

    same, other = (compare_detections([one], [found], 0.5, tolerance, task) for found in (one, apart))

    assert (same.agrees, same.share, same.by) == (True, 1.0, LIKENESSES[task][0])
    assert same.mean_iou == pytest.approx(1.0, abs=1e-3)
    assert (other.agrees, other.share) == (False, 0.5)


def test_masks_overlap_as_their_pixels_do():
    _, likeness = LIKENESSES["instance-segmentation"]

    found = likeness(instances(0, 0), instances(5, 10))

    np.testing.assert_allclose(found, [[15 / 25, 0], [0, 10 / 30]], atol=1e-6)


def test_a_place_that_neither_is_sure_of_does_not_count():
    _, likeness = LIKENESSES["keypoint-detection"]

    found = likeness(points(confidence=0.0), points(shift=9.0, confidence=0.0))

    np.testing.assert_allclose(np.diag(found), [1, 1], atol=1e-6)


def test_empty_masks_are_told_apart_by_their_boxes():
    _, likeness = LIKENESSES["instance-segmentation"]
    none = InstancesRLEMasks.from_dense([np.zeros((2, *HW), np.bool_)], HW)
    empty = replace(instances(0, 0), masks=none)

    np.testing.assert_allclose(likeness(empty, empty), np.eye(2), atol=1e-6)


def test_instances_that_are_missing_have_no_like():
    some = instances(0, 0)
    none = InstanceDetections(XYXY[:0], SCORES[:0], IDS[:0], InstancesRLEMasks(HW, ()), HW, NAMES)

    found = compare_detections([some], [none], 0.5, TOLERANCES["int8"], "instance-segmentation")

    assert (found.compared, found.share) == (2, 0.0)
