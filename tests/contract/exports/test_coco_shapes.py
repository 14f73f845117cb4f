"""Masks and key points of COCO exports, read back by pycocotools; and by jsonl, as they were stored."""

import base64
import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks import read_prediction
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from tests.contract.exports.conftest import NAMES, write

HW, F = (480, 640), np.float32
BOXES = np.array([[100, 50, 300, 250], [310.5, 20, 400, 220]], F)
SCORES, IDS = np.array([0.9, 0.75], F), np.array([1, 0])


def dense():
    masks = np.zeros((2, *HW), bool)
    masks[0, 60:240, 110:290] = True
    masks[0, 100:120, 150:160] = False
    masks[1, 30:200, 320:390] = True
    return masks


def instances():
    return InstanceDetections(BOXES, SCORES, IDS, InstancesRLEMasks.from_dense([dense()], HW), HW, NAMES)


def points():
    skeletons = (Skeleton(("nose", "tail"), ((0, 1),)), Skeleton(("a", "b", "c"), ((0, 2), (2, 1))), Skeleton(()))
    xy = np.array([[[150, 60], [200, 100], [260.25, 200]], [[330, 40], [380, 200], [0, 0]]], F)
    sure = np.array([[0.9, 0.2, 0.8], [0.6, 0.7, 0]], F)
    return KeyPoints(xy, sure, BOXES, SCORES, IDS, HW, NAMES, skeletons, 0.5)


@pytest.fixture
def read(tmp_path, job, rows, decisions):
    """Exports one picture's prediction, and reads both files as pycocotools does."""

    def export(prediction):
        row = dataclasses.replace(rows[0], record=prediction.to_record())
        summary = write("coco", job, [row], decisions, tmp_path / "out")
        with contextlib.redirect_stdout(io.StringIO()):
            truth = COCO(str(summary.files[0]))
            return truth, truth.loadRes(str(summary.files[1]))

    return export


def judged(truth, found, kind):
    with contextlib.redirect_stdout(io.StringIO()):
        result = COCOeval(truth, found, kind)
        result.evaluate()
        result.accumulate()
        result.summarize()
    return result.stats[0]


# pycocotools 2.0.11 converts its own arrays in a way that numpy 2 is about to end.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_masks_come_back_pixel_by_pixel_with_their_area(read):
    truth, found = read(instances())

    for number, mask in enumerate(dense(), 1):
        annotation = truth.anns[number]
        np.testing.assert_array_equal(truth.annToMask(annotation), mask)
        np.testing.assert_array_equal(found.annToMask(found.anns[number]), mask)
        assert annotation["area"] == mask.sum()
    assert judged(truth, found, "segm") == pytest.approx(1)


def test_key_points_come_back_with_what_is_visible_and_their_categories(read):
    truth, found = read(points())

    dog, cat = truth.anns[1], truth.anns[2]
    assert dog["keypoints"] == [150, 60, 2, 200, 100, 1, 260.25, 200, 2]
    assert cat["keypoints"] == [330, 40, 2, 380, 200, 2]
    assert (dog["num_keypoints"], cat["num_keypoints"]) == (3, 2)
    by_name = {category["name"]: category for category in truth.dataset["categories"]}
    assert by_name["dog"]["keypoints"] == ["a", "b", "c"]
    assert by_name["dog"]["skeleton"] == [[1, 3], [3, 2]]
    assert [found.anns[number]["keypoints"] for number in (1, 2)] == [dog["keypoints"], cat["keypoints"]]


def test_boxes_alone_have_neither(read):
    truth, _ = read(Detections(BOXES, SCORES, IDS, HW, NAMES))

    assert truth.anns[1]["segmentation"] == []
    assert "keypoints" not in truth.anns[1]
    assert "keypoints" not in truth.dataset["categories"][0]


@pytest.mark.parametrize("prediction", [instances(), points()], ids=["masks", "key points"])
def test_jsonl_keeps_all_that_the_engine_reads_back(tmp_path, job, rows, decisions, prediction):
    row = dataclasses.replace(rows[0], record=prediction.to_record(), blob=b"\x00\xff")

    summary = write("jsonl", job, [row], decisions, tmp_path / "out")

    (line,) = [json.loads(text) for text in summary.path.read_text(encoding="utf-8").splitlines()]
    assert read_prediction(line["record"], NAMES) == prediction
    assert base64.b64decode(line["blob"]) == b"\x00\xff"
