"""Turned boxes: their overlap, their suppression and their way back, against sums written apart."""

import math

import numpy as np
import pytest

from inference_engine.boxes import PRE_NMS_TOP_K
from inference_engine.images import Fit
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.turned_boxes import probabilistic_overlaps, suppress_turned, turned_to_original


def gaussian(box):
    _, _, width, height, angle = box
    turn = np.asarray([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return turn @ np.diag([width**2 / 12, height**2 / 12]) @ turn.T


def overlap_of(one, other):
    """One less the Hellinger distance of two Gaussians, by matrices (arXiv 2106.06072, equations 1 to 5)."""
    first, second = gaussian(one), gaussian(other)
    mean = (first + second) / 2
    away = np.asarray(one[:2]) - np.asarray(other[:2])
    distance = away @ np.linalg.inv(mean) @ away / 8 + 0.5 * math.log(
        np.linalg.det(mean) / math.sqrt(np.linalg.det(first) * np.linalg.det(second))
    )
    return 1 - math.sqrt(1 - math.exp(-distance))


@pytest.fixture
def boxes():
    rng = np.random.default_rng(3)
    found = [rng.uniform(10, 50, (40, 2)), rng.uniform(4, 30, (40, 2)), rng.uniform(-1, 3, (40, 1))]
    return np.concatenate(found, axis=1).astype(np.float32)


def test_overlaps_are_those_of_the_gaussians(boxes):
    expected = [[overlap_of(one, other) for other in boxes.astype(float)] for one in boxes.astype(float)]

    np.testing.assert_allclose(probabilistic_overlaps(boxes, boxes), expected, atol=2e-3)


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_a_box_goes_where_any_better_one_of_its_class_reaches_the_threshold(boxes, class_agnostic):
    rng = np.random.default_rng(4)
    scores, classes = rng.uniform(0.1, 1, 40).astype(np.float32), rng.integers(0, 3, 40)
    expected = [
        index
        for index in np.argsort(-scores)
        if not any(
            overlap_of(boxes[index].astype(float), boxes[other].astype(float)) >= 0.3
            for other in np.flatnonzero(scores > scores[index])
            if class_agnostic or classes[other] == classes[index]
        )
    ]

    found = suppress_turned(boxes, scores, classes, iou_threshold=0.3, class_agnostic=class_agnostic)

    assert found.tolist() == expected
    assert 4 < len(found) < 40


def test_suppression_takes_no_more_than_the_best_candidates():
    count = PRE_NMS_TOP_K + 500
    boxes = np.zeros((count, 5), np.float32)
    boxes[:, 0], boxes[:, 2:4] = np.arange(count) * 100, 4
    scores = np.linspace(0, 1, count, dtype=np.float32)

    kept = suppress_turned(boxes, scores, np.zeros(count, np.int64), iou_threshold=0.5, class_agnostic=True)

    assert kept.tolist() == list(range(count - 1, 499, -1))


@pytest.mark.parametrize("scale", [(0.5, 0.5), (0.5, 0.25)], ids=["letterbox", "stretch"])
@pytest.mark.parametrize("angle", [0.0, 0.4, math.pi / 2, 2.9, -0.7])
def test_centre_and_sides_of_a_box_come_back_to_what_they_were(scale, angle):
    fit = Fit(scale, (3, 8), (200, 300), (10, 20))
    box = np.asarray([[30, 40, 24, 10, angle]], np.float32)

    (x, y, width, height, turned) = turned_to_original(box, fit)[0].tolist()

    assert (x, y) == pytest.approx(((30 - 3) / scale[0] + 10, (40 - 8) / scale[1] + 20))
    assert width >= height
    assert 0 <= turned < math.pi
    sides = sorted(
        math.hypot(size * along[0] / scale[0], size * along[1] / scale[1])
        for size, along in (
            (24, (math.cos(angle), math.sin(angle))),
            (10, (-math.sin(angle), math.cos(angle))),
        )
    )
    assert (height, width) == pytest.approx(tuple(sides), rel=1e-5)


def test_one_box_written_in_two_ways_comes_out_as_the_same_numbers():
    fit = Fit((1.0, 1.0), (0, 0), (100, 100))
    ways = np.asarray([[50, 50, 30, 10, 0.5], [50, 50, 10, 30, 0.5 + math.pi / 2]], np.float32)

    one, other = turned_to_original(ways, fit)

    np.testing.assert_allclose(one, other, atol=1e-5)
    made = OrientedDetections(ways, np.ones(2, np.float32), np.zeros(2, np.int64), (100, 100), ("a",))
    np.testing.assert_allclose(np.sort(made.corners[0], axis=0), np.sort(made.corners[1], axis=0), atol=1e-4)
