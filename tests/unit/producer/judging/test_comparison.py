"""Two jobs compared: every figure is worked out by hand, every kind of change has a picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from drawing import TASKS
from inference_engine.boxes import overlaps as engine_overlaps
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.embedding import Embedding
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from producer.errors import NotComparable
from producer.judging.comparison import MEASURES, Kind, measure
from producer.judging.comparison.overlaps import overlaps
from tests.fixtures.judging import HW, boxes, labels, row


def between(one, other, blob_one=None, blob_other=None):
    return measure(row(0, "/p/1.jpg", one, blob=blob_one), row(0, "/p/1.jpg", other, blob=blob_other))


def predicted(one, other):
    return between(one.to_record(), other.to_record(), one.to_blob(), other.to_blob())


def kinds(difference):
    return [change.kind for change in difference.changes]


def test_every_task_of_a_jobs_model_that_can_be_drawn_can_be_compared():
    pipelines = {"detect-then-classify"}
    assert set(MEASURES) == set(TASKS) - pipelines


def test_a_record_does_not_differ_from_itself():
    found = boxes((0, 0.9, 0, 0, 10, 10), (1, 0.4, 20, 20, 60, 50), (2, 0.3, 5, 5, 5, 9))

    difference = between(found, found)

    assert (difference.disagreement, kinds(difference)) == (0.0, [Kind.MATCHED] * 3)
    assert difference.figures == {"overlap": 1.0, "score_shift": 0.0, "shift_px": 0.0}


def test_a_moved_box_a_flip_a_lost_and_a_new_box_are_told_apart():
    """The cat's box is 10 x 10 and moved by 2: 80 of 120 pixels. Scores in all: 0.9+0.8 + 0.6+0.6 + 0.5 + 0.4 = 3.8."""
    one = boxes((0, 0.9, 0, 0, 10, 10), (1, 0.6, 50, 50, 70, 70), (2, 0.5, 100, 0, 120, 20))
    other = boxes((0, 0.8, 2, 0, 12, 10), (2, 0.6, 50, 50, 70, 70), (1, 0.4, 150, 50, 170, 70))

    difference = between(one, other)

    assert kinds(difference) == [Kind.MATCHED, Kind.FLIPPED, Kind.MISSING, Kind.NEW]
    moved, flipped, missing, new = difference.changes
    assert (moved.class_a, moved.overlap, moved.shift) == ("cat", pytest.approx(80 / 120), 2.0)
    assert (flipped.class_a, flipped.class_b, flipped.overlap) == ("dog", "bird", 1.0)
    assert (missing.class_a, missing.class_b, new.class_a, new.class_b) == ("bird", None, None, "dog")
    assert difference.disagreement == pytest.approx(1 - (80 / 120) * 1.7 / 3.8)
    assert difference.figures["score_shift"] == pytest.approx((0.1 + 0) / 2)
    assert difference.figures["shift_px"] == 1.0


def test_a_box_of_the_same_class_goes_before_a_better_fit_of_another():
    one = boxes((0, 0.9, 0, 0, 10, 10))
    other = boxes((1, 0.9, 0, 0, 10, 10), (0, 0.5, 0, 0, 10, 15))

    difference = between(one, other)

    assert [(change.kind, change.class_b) for change in difference.changes] == [
        (Kind.MATCHED, "cat"),
        (Kind.NEW, "dog"),
    ]


def test_an_overlap_of_less_than_half_is_two_objects():
    """The lower 9.9 of 20 rows: 0.495; exactly the lower half: 0.5."""
    whole = boxes((0, 0.5, 0, 0, 10, 20))

    apart = between(whole, boxes((0, 0.5, 0, 10.1, 10, 20)))

    assert (kinds(apart), apart.disagreement) == ([Kind.MISSING, Kind.NEW], 1.0)
    assert kinds(between(whole, boxes((0, 0.5, 0, 10, 10, 20)))) == [Kind.MATCHED]


box_lists = st.lists(
    st.tuples(st.integers(0, 2), st.floats(0.01, 1), *(st.integers(0, 40) for _ in range(4))).map(
        lambda b: (b[0], b[1], min(b[2], b[4]), min(b[3], b[5]), max(b[2], b[4]) + 1, max(b[3], b[5]) + 1)
    ),
    max_size=8,
)


@given(box_lists, box_lists)
def test_the_order_of_the_jobs_changes_names_and_no_figure(one, other):
    there, back = between(boxes(*one), boxes(*other)), between(boxes(*other), boxes(*one))
    swapped = {Kind.MISSING: Kind.NEW, Kind.NEW: Kind.MISSING}

    assert sorted(kinds(there)) == sorted(swapped.get(kind, kind) for kind in kinds(back))
    assert there.disagreement == pytest.approx(back.disagreement)
    assert 0 <= there.disagreement <= 1 + 1e-12
    assert len(there.changes) == len(one) + len(other) - sum(kind in ("matched", "flipped") for kind in kinds(there))


@given(box_lists, box_lists)
def test_box_overlaps_are_the_engines(one, other):
    found = overlaps(boxes(*one), boxes(*other))

    sides = [np.array([each[2:] for each in side], np.float32).reshape(-1, 4) for side in (one, other)]
    np.testing.assert_allclose(found, engine_overlaps(*sides), atol=1e-6)


def test_turned_boxes_overlap_by_the_area_of_their_common_polygon():
    """A square of side 2 turned by 45 degrees shares a regular octagon with the upright one: 8 * (sqrt(2) - 1)."""
    one, other = ({"xywhr": [[10, 10, 2, 2, angle]]} for angle in (0.0, np.pi / 4))
    shared = 8 * (np.sqrt(2) - 1)

    assert overlaps(one, other)[0, 0] == pytest.approx(shared / (8 - shared), rel=1e-5)
    assert overlaps(one, one)[0, 0] == 1.0


def rle(mask):
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


def with_masks(*masks):
    record = boxes(*((0, 0.5, 0, 0, 10, 10) for _ in masks))
    return record | {"task": "instance-segmentation", "masks": [rle(mask) for mask in masks]}


def test_masks_overlap_by_their_pixels_whatever_their_boxes():
    """Both fill rows of one box: rows 0 to 59 and rows 20 to 59 share 40 of 60."""
    one, other = np.zeros(HW, bool), np.zeros(HW, bool)
    one[:60], other[20:60] = True, True

    difference = between(with_masks(one), with_masks(other))

    assert difference.changes[0].overlap == pytest.approx(40 / 60)
    empty = np.zeros(HW, bool)
    assert between(with_masks(empty), with_masks(empty)).disagreement == 0.0


def test_a_damaged_mask_is_refused_before_it_is_compared():
    broken = with_masks(np.ones(HW, bool)) | {"masks": [{"size": list(HW), "counts": "zzz"}]}

    with pytest.raises(NotComparable, match="cannot be compared"):
        between(broken, broken)


def test_key_points_are_off_by_their_mean_distance():
    record = boxes((0, 0.5, 0, 0, 10, 10)) | {"task": "keypoint-detection", "xy": [[[1, 1], [4, 4]]]}

    difference = between(record, record | {"xy": [[[4, 5], [4, 4]]]})

    assert difference.figures["shift_px"] == 2.5


def test_texts_of_matched_parts_are_compared():
    part = boxes((0, 0.5, 0, 0, 10, 10), (0, 0.5, 20, 0, 40, 10)) | {"task": "structured-ocr"}

    difference = between(part | {"texts": ["a", "b"]}, part | {"texts": ["a", "8"]})

    assert difference.figures["same_texts"] == 0.5


def test_spans_of_time_overlap_by_their_frames():
    def spans(start, end):
        return {**labels((0, 0.5)), "task": "action-recognition", "start_frame": [start], "end_frame": [end], "fps": 25}

    assert between(spans(0, 30), spans(10, 30)).changes[0].overlap == pytest.approx(20 / 30)


@pytest.mark.parametrize(
    ("one", "other", "disagreement", "kind"),
    [
        (labels((0, 0.9), (1, 0.1)), labels((0, 0.7), (1, 0.3)), 0.0, [Kind.MATCHED]),
        (labels((0, 0.9)), labels((1, 0.6)), 1.0, [Kind.FLIPPED]),
        (labels((0, 0.9)), labels(), 1.0, [Kind.MISSING]),
        (labels(), labels((0, 0.9)), 1.0, [Kind.NEW]),
        (labels(), labels(), 0.0, []),
    ],
    ids=["same", "flip", "none any more", "some now", "none"],
)
def test_classifiers_agree_on_the_best_class_or_do_not(one, other, disagreement, kind):
    difference = between(one, other)

    assert (difference.disagreement, kinds(difference)) == (disagreement, kind)
    assert difference.figures["agreement"] == 1 - disagreement


def test_several_labels_differ_by_those_that_only_one_has():
    """cat is in both, dog and bird in one each: one of three."""
    task = "multi-label-classification"
    difference = between(labels((0, 0.9), (1, 0.6), task=task), labels((0, 0.7), (2, 0.8), task=task))

    assert difference.disagreement == pytest.approx(2 / 3)
    assert kinds(difference) == [Kind.MATCHED, Kind.MISSING, Kind.NEW]
    assert difference.figures == {"agreement": 0.0, "score_shift": pytest.approx(0.2)}


def test_label_maps_differ_by_pixels_and_classes_are_told_by_name():
    """The left half is road in both, under different numbers; of the right, a quarter of the picture changes."""
    one = np.zeros((4, 8), np.uint8)
    one[:, 4:] = 1
    other = np.full((4, 8), 2, np.uint8)
    other[:, 4:6], other[:, 6:] = 0, 1
    a = SemanticSegmentationResult(one, ("road", "sky"))
    b = SemanticSegmentationResult(other, ("sky", "tree", "road"))

    difference = predicted(a, b)

    assert difference.disagreement == pytest.approx(8 / 32)
    assert difference.figures == {"pixels": pytest.approx(24 / 32), "overlap": pytest.approx((1 + 8 / 16 + 0) / 3)}


def test_depths_differ_by_their_share_of_the_larger():
    """One pixel of four is twice as far: 1/2 of it, so 1/8 in the mean."""
    one = DepthMap(np.array([[1, 2], [4, 8]], np.float32), DepthUnit.METRES)
    other = DepthMap(np.array([[1, 2], [4, 4]], np.float32), DepthUnit.METRES)

    assert predicted(one, other).disagreement == pytest.approx(1 / 8, abs=1e-4)  # steps of 1/65535 of the range
    assert predicted(other, one).disagreement == pytest.approx(1 / 8, abs=1e-4)
    assert predicted(one, one).disagreement == 0.0


def test_depths_in_different_units_are_refused():
    depth = np.array([[1, 2]], np.float32)

    with pytest.raises(NotComparable, match="one depth is in"):
        predicted(*(DepthMap(depth, unit) for unit in list(DepthUnit)[:2]))


@pytest.mark.parametrize(
    ("other", "cosine"), [([3, 4], 1.0), ([-3, -4], -1.0), ([4, -3], 0.0), ([6, 8], 1.0), ([4, 3], 24 / 25)]
)
def test_embeddings_differ_by_half_of_one_less_their_cosine(other, cosine):
    a, b = Embedding(np.array([3, 4], np.float32), HW), Embedding(np.array(other, np.float32), HW)

    difference = predicted(a, b)

    assert difference.figures["cosine"] == pytest.approx(cosine)
    assert difference.disagreement == pytest.approx((1 - cosine) / 2)


def test_texts_are_equal_or_similar_by_their_words():
    def text(words):
        return {"task": "text-only-ocr", "image_hw": list(HW), "text": words, "text_confidence": None}

    assert between(text("stop here"), text("stop here")).figures == {"equal": 1.0, "similarity": 1.0}
    assert between(text("stop here now"), text("stop now")).disagreement == pytest.approx(1 - 4 / 5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (labels((0, 0.5)), "tasks 'object-detection' and 'classification'"),
        ({**boxes(), "image_hw": [1, 1]}, "replaced between them"),
        ({**boxes(), "xyxy": None}, "cannot be compared"),
    ],
    ids=["task", "size", "damage"],
)
def test_records_that_cannot_be_compared_are_said(other, words):
    with pytest.raises(NotComparable, match=words):
        between(boxes((0, 0.5, 0, 0, 1, 1)), other)
