"""Suppression against an independent reference that compares every pair."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_engine.boxes import PRE_NMS_TOP_K, centre_to_corners, suppress, top_k


def overlap(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def brute_force(boxes, scores, classes, threshold, agnostic):
    """A box stays when no stronger box that stays overlaps it by more than the threshold."""
    kept = []
    for index in sorted(range(len(boxes)), key=lambda i: (-scores[i], i)):
        rivals = [k for k in kept if agnostic or classes[k] == classes[index]]
        if all(overlap(boxes[k], boxes[index]) <= threshold for k in rivals):
            kept.append(index)
    return kept


def run(boxes, scores, classes, threshold, *, agnostic=False, limit=None):
    return suppress(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int64),
        iou_threshold=threshold,
        class_agnostic=agnostic,
        limit=limit,
    ).tolist()


# Whole and half pixels are exact in every float type, so that reference and code see the same overlaps; a few scores
# give ties; corners reach far over the left and upper border. Boxes have an area: OpenCV takes two without as equal.
halves = st.integers(-80, 80).map(lambda n: n / 2)
sides = st.integers(1, 60).map(lambda n: n / 2)
rows = st.tuples(halves, halves, sides, sides, st.sampled_from([0.1, 0.25, 0.5, 0.75, 0.9]), st.integers(0, 3))


@settings(max_examples=400, deadline=None)
@given(st.lists(rows, max_size=30), st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 1.0]), st.booleans())
def test_the_same_boxes_stay_as_by_brute_force(found, threshold, agnostic):
    boxes = [(x, y, x + w, y + h) for x, y, w, h, _, _ in found]
    scores = [np.float32(row[4]) for row in found]
    classes = [row[5] for row in found]

    kept = run(boxes, scores, classes, threshold, agnostic=agnostic)

    assert kept == brute_force(boxes, scores, classes, threshold, agnostic)
    assert run(boxes, scores, classes, threshold, agnostic=agnostic, limit=3) == kept[:3]


@pytest.mark.parametrize(("height", "threshold"), [(3, 0.3), (5, 0.5), (7, 0.7), (9, 0.9)])
def test_an_overlap_exactly_at_the_threshold_stays(height, threshold):
    boxes = [(0, 0, 10, 10), (0, 0, 10, height)]

    assert run(boxes, [0.9, 0.8], [0, 0], threshold) == [0, 1]
    assert run(boxes, [0.9, 0.8], [0, 0], threshold - 0.001) == [0]


def test_boxes_of_different_classes_never_meet_whatever_their_coordinates():
    boxes = [(0, 0, 10, 10), (-10.5, -10.5, -0.5, -0.5), (-200, -200, 10, 10)]

    assert run(boxes, [0.9, 0.8, 0.7], [0, 1, 2], 0.01) == [0, 1, 2]
    assert run([(0, 0, 10, 10)] * 2, [0.9, 0.8], [0, 1], 0.5) == [0, 1]
    assert run([(0, 0, 10, 10)] * 2, [0.9, 0.8], [0, 1], 0.5, agnostic=True) == [0]


def test_of_equal_scores_the_first_stays():
    assert run([(0, 0, 10, 10)] * 3, [0.5, 0.5, 0.5], [0, 0, 0], 0.5) == [0]


def test_no_boxes_give_none():
    assert run([], [], [], 0.5) == []


def test_the_result_is_ordered_by_score():
    boxes = [(i * 20, 0, i * 20 + 10, 10) for i in range(5)]

    assert run(boxes, [0.2, 0.9, 0.4, 0.8, 0.1], [0] * 5, 0.5) == [1, 3, 2, 0, 4]


def test_of_every_anchor_of_a_large_network_only_the_best_are_looked_at():
    rng = np.random.default_rng(1)
    corners = rng.uniform(0, 640, (8400, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + rng.uniform(1, 9, (8400, 2)).astype(np.float32)], axis=1)
    scores, classes = rng.random(8400, dtype=np.float32), rng.integers(0, 80, 8400)

    kept = suppress(boxes, scores, classes, iou_threshold=0.5, class_agnostic=False, limit=300)

    assert len(kept) == 300
    everything = suppress(boxes, scores, classes, iou_threshold=0.5, class_agnostic=False)
    assert len(everything) <= PRE_NMS_TOP_K
    assert everything[:300].tolist() == kept.tolist()


def test_centre_and_size_become_corners():
    assert centre_to_corners(np.array([[10, 20, 4, 6]], np.float32)).tolist() == [[8, 17, 12, 23]]


def test_the_highest_scores_come_first_and_ties_keep_their_order():
    assert top_k(np.array([0.1, 0.9, 0.5, 0.9], np.float32), 3).tolist() == [1, 3, 2]
