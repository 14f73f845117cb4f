"""Doubts worked out by hand, and their order."""

from __future__ import annotations

import dataclasses
import json
import math

import cv2
import numpy as np
import pytest

from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from producer.errors import NotComparable
from producer.judging.comparison import pair_rows
from producer.judging.review import DOUBTS, doubt_of, review, review_against, thresholds_of
from producer.judging.review.report import write_report
from tests.fixtures.judging import HW, boxes, labels, row, status


def doubt(record, blob=None, **params):
    return doubt_of(record, blob, thresholds_of(params)).score


@pytest.mark.parametrize(
    ("scores", "expected"),
    [((0.4,), 1.0), ((0.5,), 0.5), ((0.6,), 0.0), ((0.99,), 0.0), ((0.45, 0.5, 0.95), 0.75 + 0.5), ((), 0.0)],
    ids=["at the threshold", "half way", "at the margin", "sure", "two of three", "nothing found"],
)
def test_objects_near_their_threshold_add_up(scores, expected):
    record = boxes(*((0, score, 0, 0, 1, 1) for score in scores))

    assert doubt(record, confidence=0.4) == pytest.approx(expected)


def test_a_class_has_its_own_threshold():
    record = boxes((0, 0.75, 0, 0, 1, 1), (1, 0.75, 0, 0, 1, 1))

    assert doubt(record, confidence=0.4, per_class_confidence={"dog": 0.7}) == pytest.approx(0.75)


@pytest.mark.parametrize(
    ("scores", "bits"),
    [((0.5, 0.5), 1.0), ((1.0,), 0.0), ((0.5,), 1.0), ((0.25, 0.25), 1.5), ((), 0.0), ((0.9, 0.1, 0.0), 0.4689956)],
    ids=["two alike", "certain", "half unsaid", "the rest counts", "no class", "nearly certain"],
)
def test_doubts_of_classifiers_are_shannons_bits(scores, bits):
    assert doubt(labels(*enumerate(scores))) == pytest.approx(bits)


def test_doubts_of_texts_and_label_maps_are_what_confidence_leaves():
    text = {"task": "text-only-ocr", "image_hw": list(HW), "text": "x", "text_confidence": 0.75}
    plane = np.array([[0, 0], [1, 1]], np.uint8)
    sure = SemanticSegmentationResult(plane, ("a", "b"), np.array([[255, 255], [0, 255]], np.uint8))

    assert doubt(text) == 0.25
    assert doubt(text | {"text_confidence": None}) == 1.0
    assert doubt(sure.to_record(), sure.to_blob()) == 0.25


def test_pictures_come_in_the_order_of_their_doubt_and_sure_ones_not_at_all():
    scores = [(0.95,), (0.45,), (0.41, 0.42), (0.58,)]
    rows = [row(n, f"/{n}", boxes(*((0, s, 0, 0, 1, 1) for s in each))) for n, each in enumerate(scores)]
    job = status(params={"confidence": 0.4})

    found, shown = review(job, lambda: [*rows, row(9, "/9", None)], 50)

    assert [item.uri for item in found.items] == ["/2", "/1", "/3"]
    assert (found.measure, found.images) == ("margin", 4)
    assert [mine[0].uri for mine in shown] == ["/2", "/1", "/3"]
    assert found.items[0].words == "2 of 2 near the threshold: cat 0.41, cat 0.42"
    assert [item.uri for item in review(job, lambda: rows, 1)[0].items] == ["/2"]


def test_without_a_threshold_of_the_job_the_lowest_score_stands_for_the_models():
    rows = [row(n, f"/{n}", boxes((0, score, 0, 0, 1, 1))) for n, score in enumerate((0.9, 0.3, 0.35))]

    found, _ = review(status(), lambda: rows, 50)

    assert [(item.uri, round(item.doubt, 6)) for item in found.items] == [("/1", 1.0), ("/2", 0.75)]


def test_another_job_ranks_by_what_it_disagrees_about():
    rows = [row(n, f"/{n}", boxes((0, 0.9, 0, 0, 10, 10))) for n in range(3)]
    others = [
        row(0, "/0", boxes((0, 0.9, 0, 0, 10, 10))),
        row(1, "/1", boxes()),
        row(2, "/2", boxes((0, 0.9, 0, 0, 10, 9))),
    ]

    replaced = row(3, "/3", {**boxes(), "image_hw": [1, 1]})
    found, shown = review_against(status(), pair_rows([*rows, row(3, "/3", boxes())], [*others, replaced]), 50)

    assert [(item.uri, item.words) for item in found.items] == [("/1", "1 missing"), ("/2", "1 matched")]
    assert (found.measure, found.images, len(shown[0])) == ("disagreement", 3, 2)


@pytest.mark.parametrize(
    ("task", "record", "words"),
    [
        ("embedding", {"task": "embedding"}, "does not say how sure it is; expected one of"),
        ("semantic-segmentation", {"task": "semantic-segmentation"}, "stored without their confidence"),
    ],
    ids=["task", "record"],
)
def test_a_job_that_does_not_say_how_sure_it_is_is_refused(task, record, words):
    with pytest.raises(NotComparable, match=words):
        review(status(task=task), lambda: [row(0, "/0", record)], 50)


def test_every_measure_gives_a_number_that_is_finite():
    for task in DOUBTS:
        record = boxes((0, 0.5, 0, 0, 1, 1)) | {"task": task, "text_confidence": 0.5}
        blob = None
        if task == "semantic-segmentation":
            plane = np.zeros(HW, np.uint8)
            result = SemanticSegmentationResult(plane, ("a",), plane)
            record, blob = result.to_record(), result.to_blob()
        assert math.isfinite(doubt(record, blob, confidence=0.4)), task


def test_the_gallery_has_a_picture_and_a_task_for_each(tmp_path):
    for n in range(3):
        cv2.imwrite(str(tmp_path / f"{n}.png"), np.full((*HW, 3), 90, np.uint8))
    rows = [row(n, str(tmp_path / f"{n}.png"), boxes((0, 0.5 - 0.1 * n, 0, 0, 50, 50))) for n in range(3)]
    found, shown = review(dataclasses.replace(status(), params={"confidence": 0.2}), lambda: rows, 50)

    page = write_report(found, shown, tmp_path / "review")

    assert [item.doubt for item in found.items] == pytest.approx([0.5])
    assert len(list((page.parent / "images").iterdir())) == 1
    assert json.loads((page.parent / "report.json").read_text())["measure"] == "margin"
    assert json.loads((page.parent / "label-studio.json").read_text())[0]["data"]["name"] == "2.png"
