"""When two candidates say the same."""

import numpy as np
import pytest

from inference_engine.agreement import (
    TOLERANCES,
    compare_best_class,
    compare_detections,
    compare_labels,
    compare_outputs,
    match_instances,
    tolerance_of,
)
from inference_engine.boxes import overlaps
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.detection import Detections

EXACT, ROUGH = TOLERANCES["fp32"], TOLERANCES["int8"]


def boxes(*rows):
    """Rows of x_min, y_min, x_max, y_max, score, class."""
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64), (100, 100), ("a", "b"))


ONE = boxes([0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.8, 1])


def test_the_same_boxes_agree_wholly():
    found = compare_detections([ONE, ONE], [ONE, ONE], 0.5, EXACT)

    assert (found.agrees, found.compared, found.share, found.mean_iou, found.difference) == (True, 8, 1.0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("other", "share"),
    [
        (boxes([0, 0, 10, 10, 0.9, 0]), 2 / 3),
        (boxes(), 0.0),
        (boxes([0, 0, 10, 10, 0.9, 1], [20, 20, 40, 40, 0.8, 1]), 0.5),
        (boxes([50, 50, 60, 60, 0.9, 0], [20, 20, 40, 40, 0.8, 1]), 0.5),
        (boxes([0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.8, 1], [60, 60, 90, 90, 0.7, 0]), 0.8),
    ],
    ids=["one missing", "none", "another class", "another place", "one too many"],
)
def test_what_has_no_like_on_the_other_side_counts_against(other, share):
    found, back = (compare_detections([a], [b], 0.5, EXACT) for a, b in ((ONE, other), (other, ONE)))

    assert found.share == back.share == pytest.approx(share)
    assert not found.agrees
    assert not back.agrees


def test_a_score_that_falls_just_below_the_threshold_is_no_missing_box():
    low = boxes([0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.496, 1])
    high = boxes([0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.504, 1])

    found = compare_detections([high], [low], 0.5, EXACT)

    assert (found.agrees, found.compared, found.share) == (True, 3, 1.0)


def test_boxes_that_are_unsure_on_both_sides_do_not_count():
    unsure = boxes([0, 0, 10, 10, 0.9, 0], [20, 20, 40, 40, 0.45, 1])

    assert compare_detections([unsure], [boxes([0, 0, 10, 10, 0.9, 0])], 0.5, EXACT).share == 1.0


def test_scores_that_differ_by_more_than_the_tolerance_disagree():
    other = boxes([0, 0, 10, 10, 0.85, 0], [20, 20, 40, 40, 0.75, 1])

    assert not compare_detections([ONE], [other], 0.5, EXACT).agrees
    assert compare_detections([ONE], [other], 0.5, ROUGH).agrees


def test_nothing_to_compare_is_no_agreement():
    found = compare_detections([boxes()], [boxes()], 0.5, ROUGH)

    assert (found.compared, found.agrees) == (0, False)


def test_matching_gives_each_box_to_one_and_the_surest_chooses_first():
    one = boxes([0, 0, 10, 10, 0.6, 0], [1, 0, 11, 10, 0.9, 0])
    other = boxes([1, 0, 11, 10, 0.9, 0])

    assert match_instances(one, other, overlaps(one.xyxy, other.xyxy), 0.5) == [(1, 0, 1.0)]


@pytest.mark.parametrize(
    ("other", "agrees"),
    [
        ({"b": np.ones((1, 4))}, True),
        ({"b": np.full((1, 4), 1.005)}, True),
        ({"b": np.full((1, 4), 1.1)}, False),
        ({"b": np.ones((1, 5))}, False),
        ({"b": np.full((1, 4), np.nan)}, False),
        ({"b": np.ones((1, 4)), "c": np.ones(1)}, False),
    ],
    ids=["same", "near", "far", "other shape", "nan", "more outputs"],
)
def test_raw_outputs_are_compared_by_distance_whatever_their_names(other, agrees):
    assert compare_outputs([{"a": np.ones((1, 4))}], [other], EXACT).agrees is agrees


def classes(*scores):
    order = np.argsort(-np.asarray(scores), kind="stable")
    return ClassificationPrediction(order, np.asarray(scores, np.float32)[order], (9, 9), ("a", "b", "c"))


SURE = classes(0.7, 0.2, 0.1)


@pytest.mark.parametrize(
    ("other", "agrees", "difference"),
    [
        (classes(0.7, 0.2, 0.1), True, 0.0),
        (classes(0.705, 0.195, 0.1), True, 0.005),
        (classes(0.65, 0.25, 0.1), False, 0.05),
        (classes(0.2, 0.7, 0.1), False, 0.5),
    ],
    ids=["same", "near", "score", "another class"],
)
def test_single_labels_agree_by_their_class_and_its_score(other, agrees, difference):
    found = compare_best_class([SURE, SURE], [other, other], EXACT)

    assert (found.by, found.compared, found.agrees) == ("classes", 2, agrees)
    assert found.difference == pytest.approx(difference, abs=1e-6)


def test_where_the_reference_is_undecided_its_second_class_will_do():
    undecided, other = classes(0.405, 0.395, 0.2), classes(0.4, 0.401, 0.199)

    assert compare_best_class([undecided], [other], EXACT).agrees
    assert not compare_best_class([classes(0.45, 0.35, 0.2)], [other], EXACT).agrees


def test_one_image_of_another_class_in_ten_is_too_many_for_full_precision():
    found = compare_best_class([SURE] * 10, [SURE] * 9 + [classes(0.1, 0.2, 0.7)], EXACT)

    assert (found.share, found.agrees) == (0.9, False)


@pytest.mark.parametrize(
    ("other", "agrees"),
    [
        (classes(0.9, 0.6, 0.1), True),
        (classes(0.9, 0.49, 0.1), False),
        (classes(0.9, 0.6, 0.6), False),
        (classes(0.8, 0.6, 0.1), False),
    ],
    ids=["same", "one missing", "one too many", "scores"],
)
def test_several_labels_agree_by_every_class(other, agrees):
    found = compare_labels([classes(0.9, 0.6, 0.1)], [other], EXACT)

    assert (found.by, found.agrees) == ("classes", agrees)


def test_a_label_that_falls_just_below_one_half_is_no_missing_one():
    assert compare_labels([classes(0.9, 0.504, 0.1)], [classes(0.9, 0.496, 0.1)], EXACT).agrees


def test_lower_precisions_may_differ_more_and_an_unknown_one_as_bfloat16():
    assert TOLERANCES["fp32"].max_score < TOLERANCES["bf16"].max_score < TOLERANCES["int8"].max_score
    assert all(tolerance.min_share >= 0.9 for tolerance in TOLERANCES.values())
    assert tolerance_of("fp4") == TOLERANCES["bf16"]
