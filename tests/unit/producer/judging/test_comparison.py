"""Two jobs compared: every figure is worked out by hand, every kind of change has a picture."""

from __future__ import annotations

import dataclasses
import json
import tracemalloc

import cv2
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
from jobstore.schema import OutcomeState
from jobstore.views import ResultRow
from producer.errors import NotComparable
from producer.judging.comparison import MEASURES, Job, Kind, compare, measure, pair_rows
from producer.judging.comparison.overlaps import match, overlaps
from producer.judging.comparison.report import write_report
from tests.fixtures.judging import HW, NAMES, boxes, labels, row, status
from videos.options import Clip


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


def names_of(pairs):
    return [tuple(each and f"{each.uri}@{each.frame}" for each in pair) for pair in pairs]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("123", "123", [("1@0", "1@0"), ("2@0", "2@0"), ("3@0", "3@0")]),
        ("123", "312", [("1@0", "1@0"), ("3@0", "3@0"), ("2@0", "2@0")]),
        ("13", "123", [("1@0", "1@0"), ("3@0", "3@0"), (None, "2@0")]),
        ("12", "", [("1@0", None), ("2@0", None)]),
        ("11", "1", [("1@0", "1@0"), ("1@0", None)]),
    ],
    ids=["same order", "other order", "subset", "nothing", "doubled"],
)
def test_rows_are_paired_whatever_their_order(a, b, expected):
    rows_a, rows_b = ([row(idx, uri, boxes()) for idx, uri in enumerate(side)] for side in (a, b))

    assert sorted(names_of(pair_rows(rows_a, rows_b)), key=str) == sorted(expected, key=str)


@given(st.permutations(range(12)), st.sets(st.integers(0, 11)))
def test_every_row_of_either_job_is_in_exactly_one_pair(order, gone):
    rows_a = [row(idx, str(idx), boxes((0, 0.5, 0, 0, idx + 1, 1))) for idx in range(12)]
    rows_b = [dataclasses.replace(rows_a[idx], idx=place) for place, idx in enumerate(order) if idx not in gone]

    pairs = list(pair_rows(rows_a, rows_b))

    assert sorted((a.idx for a, _ in pairs if a), key=int) == list(range(12))
    assert sorted(b.idx for _, b in pairs if b) == sorted(each.idx for each in rows_b)
    assert all(b is None or (a.uri == b.uri and a.record == b.record) for a, b in pairs)


def test_frames_of_a_video_are_paired_and_what_is_said_of_it_as_a_whole_is_not():
    clip = Clip(0.0, None)
    frames = [dataclasses.replace(row(0, "/v.mp4", boxes(), frame=n), clip=clip) for n in (0, 1, 2)]
    skipped = dataclasses.replace(row(1, "/w.mp4", None), state=OutcomeState.SKIPPED)

    assert names_of(pair_rows([*frames, skipped], frames[:2])) == [("/v.mp4@1", "/v.mp4@1"), ("/v.mp4@2", None)]


@dataclasses.dataclass(frozen=True)
class Hashed(ResultRow):
    """A row of a store that keeps the hashes of contents."""

    content: str | None = None


def hashed(uri, content):
    plain = row(0, uri, boxes())
    return Hashed(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)}, content=content)


def test_moved_files_are_paired_by_their_bytes():
    pairs = pair_rows([hashed("/a/1", "x"), hashed("/a/2", "y")], [hashed("/b/9", "y"), hashed("/b/8", "z")])

    assert sorted(names_of(pairs), key=str) == [("/a/1@0", None), ("/a/2@0", "/b/9@0"), (None, "/b/8@0")]


def two_jobs(pairs, **options):
    return compare(Job(status()), Job(status(job_id="0194-job")), pairs, **options)


def test_the_summary_adds_up_what_became_of_each_class():
    rows_a = [
        row(0, "/1", boxes((0, 0.9, 0, 0, 10, 10), (1, 0.6, 50, 50, 70, 70))),
        row(1, "/2", boxes((0, 0.5, 0, 0, 10, 10))),
        row(2, "/3", None),
        row(3, "/4", boxes()),
        row(4, "/5", boxes()),
    ]
    rows_b = [
        row(0, "/1", boxes((0, 0.7, 0, 0, 10, 10), (2, 0.6, 50, 50, 70, 70))),
        row(1, "/2", boxes((1, 0.3, 100, 0, 110, 10))),
        row(2, "/3", boxes()),
        row(3, "/4", boxes()),
        row(4, "/6", boxes()),
    ]

    found, _ = two_jobs(pair_rows(rows_a, rows_b))

    assert (found.pairs, found.same, found.only_a, found.only_b) == (3, 1, 1, 1)
    assert (found.failed_a, found.failed_b, found.failed_both) == (1, 0, 0)
    assert found.counts == {"matched": 1, "flipped": 1, "missing": 1, "new": 1}
    by_name = {each.name: each for each in found.classes}
    cat, dog, bird = (by_name[name] for name in NAMES)
    assert (cat.a, cat.b, cat.matched, cat.missing, cat.new, cat.flipped) == (2, 1, 1, 1, 0, {})
    assert (cat.mean_overlap, cat.mean_score_shift) == (1.0, pytest.approx(-0.2))
    assert (dog.a, dog.b, dog.missing, dog.new, dog.flipped) == (1, 1, 0, 1, {"bird": 1})
    assert (bird.a, bird.b, bird.matched, bird.mean_overlap) == (0, 1, 0, None)
    assert found.disagreement == pytest.approx(((1.2 / 2.8) + 1 + 0) / 3)


def test_the_worst_come_first_and_equal_records_never():
    boxes_of = [boxes((0, 0.5, 0, 0, 10, 10)), boxes((0, 0.5, 0, 0, 10, 8)), boxes((0, 0.5, 50, 0, 60, 10))]
    rows_a = [row(idx, f"/{idx}", boxes_of[0]) for idx in range(3)]
    rows_b = [row(idx, f"/{idx}", record) for idx, record in enumerate(boxes_of)]

    found, worst = two_jobs(pair_rows(rows_a, rows_b))

    assert [item.uri_a for item in found.worst] == ["/2", "/1"]
    assert [(one.uri, other.uri) for one, other in worst] == [("/2", "/2"), ("/1", "/1")]
    only_one, _ = two_jobs(pair_rows(rows_a, rows_b), worst=1)
    assert [item.uri_a for item in only_one.worst] == ["/2"]


def test_one_replaced_picture_costs_one_picture():
    one = [row(0, "/1", boxes()), row(1, "/2", boxes())]
    other = [row(0, "/1", {**boxes(), "image_hw": [1, 1]}), row(1, "/2", boxes())]

    found, _ = two_jobs(pair_rows(one, other))

    assert (found.pairs, found.same, found.not_comparable) == (1, 1, 1)
    assert "the picture was replaced between them" in found.problems[0]
    with pytest.raises(NotComparable, match="replaced between them"):
        two_jobs(pair_rows(one[:1], other[:1]))


def test_jobs_without_a_common_picture_are_refused():
    with pytest.raises(NotComparable, match="no picture in common: 1 only in the first, 1 only in the second"):
        two_jobs(pair_rows([row(0, "/a", boxes())], [row(0, "/b", boxes())]))


def test_greedy_pairs_never_give_up_the_best_one():
    iou = np.array([[0.9, 0.8], [0.8, 0.0]])

    assert match(iou, np.ones((2, 2), bool)) == [(0, 0)]


def test_the_report_shows_pairs_side_by_side_and_gives_tasks_with_both_predictions(tmp_path):
    for name, grey in (("1.png", 90), ("2.png", 160)):
        cv2.imwrite(str(tmp_path / name), np.full((*HW, 3), grey, np.uint8))
    uris = [str(tmp_path / name) for name in ("1.png", "2.png", "gone.png")]
    rows_a = [row(idx, uri, boxes((0, 0.9, 10, 10, 60, 60))) for idx, uri in enumerate(uris)]
    rows_b = [row(idx, uri, boxes((1, 0.8, 10, 10, 60, 60))) for idx, uri in enumerate(uris)]
    found, worst = two_jobs(pair_rows(rows_a, rows_b))

    page = write_report(found, worst, tmp_path / "report")

    pictures = sorted((page.parent / "images").iterdir())
    assert len(pictures) == 2
    picture = cv2.imread(str(pictures[0])).astype(int)
    assert picture.shape == (HW[0], 2 * HW[1] + 8, 3)
    left, right = picture[:, : HW[1]], picture[:, HW[1] + 8 :]
    assert np.abs(left - right).max() > 60  # the boxes have their classes' colours
    assert np.abs(left[70:, 80:] - right[70:, 80:]).max() < 12  # nothing else is drawn
    assert "no picture" in page.read_text()
    tasks = json.loads((page.parent / "label-studio.json").read_text())
    assert [each["model_version"] for each in tasks[0]["predictions"]] == ["a: 0193-job", "b: 0194-job"]
    value = tasks[0]["predictions"][1]["result"][0]["value"]
    assert value == {"x": 5.0, "y": 10.0, "width": 25.0, "height": 50.0, "rotation": 0.0, "rectanglelabels": ["dog"]}
    assert json.loads((page.parent / "report.json").read_text())["counts"]["flipped"] == 3


def wide(idx, uri):
    """A row of 10 kB of text."""
    return row(idx, uri, boxes((0, 0.5, 0, 0, 10, 10)) | {"note": f"{idx:010}" * 1000})


@pytest.mark.parametrize("order", [1, -1], ids=["the same order", "the other order"])
def test_memory_does_not_grow_with_the_records_of_a_job(order):
    """2,000 rows are 20 MB; those that wait for their partners lie on disk, but for two spools of 2 MB."""
    rows_a = (wide(idx, f"/{idx}.jpg") for idx in range(2000))
    rows_b = (wide(place, f"/{idx}.jpg") for place, idx in enumerate(range(2000)[::order]))
    tracemalloc.start()
    try:
        pairs = sum(a is not None and b is not None for a, b in pair_rows(rows_a, rows_b))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert pairs == 2000
    assert peak < (8e6 if order < 0 else 1e6)
