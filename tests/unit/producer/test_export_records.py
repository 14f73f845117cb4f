"""What is read from records: kinds, objects, filters; and masks as polygons."""

import numpy as np
import pytest

from producer.exports.options import ExportOptions
from producer.exports.outlines import outline, turned_corners
from producer.exports.records import Kind, bounds, instances, kinds_of, selected
from tests.contract.exports.predictions import MAKERS, dense_masks

EXPECTED = {
    Kind.BOXES: {Kind.BOXES},
    Kind.MASKS: {Kind.BOXES, Kind.MASKS},
    Kind.KEY_POINTS: {Kind.BOXES, Kind.KEY_POINTS},
    Kind.TURNED: {Kind.BOXES, Kind.TURNED},
    Kind.TEXT: {Kind.BOXES, Kind.TEXT},
    "prompted": {Kind.MASKS},
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_record_has_its_kinds_by_its_fields_and_not_by_its_task(kind):
    record = MAKERS[kind]().to_record()

    assert kinds_of({**record, "task": "prophecy"}) == EXPECTED.get(kind, {kind})


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({}, ["dog", "cat"]),
        ({"min_confidence": 0.75}, ["dog", "cat"]),
        ({"min_confidence": 0.76}, ["dog"]),
        ({"classes": ("cat",)}, ["cat"]),
        ({"classes": ("cat",), "min_confidence": 0.8}, []),
    ],
    ids=["all", "at the threshold", "above", "class", "both"],
)
@pytest.mark.parametrize("kind", [Kind.BOXES, Kind.MASKS, Kind.KEY_POINTS, Kind.TURNED])
def test_objects_that_are_not_wanted_leave_with_all_that_they_have(kind, options, kept):
    record = MAKERS[kind]().to_record()

    found = selected(record, ExportOptions(**options))

    assert found["class_name"] == kept
    columns = [value for key, value in found.items() if key not in {"image_hw", "skeletons"} and type(value) is list]
    assert {len(column) for column in columns} == {len(kept)}
    wanted = [each for each in instances(record) if each.class_name in kept]
    assert list(instances(found)) == wanted


def test_segments_without_scores_are_filtered_by_their_classes():
    record = MAKERS[Kind.MASKS]().to_record()
    segments = {key: value for key, value in record.items() if key not in {"confidence", "xyxy"}}

    (left,) = instances(selected(segments, ExportOptions(classes=("cat",), min_confidence=0.99)))

    assert (left.class_name, left.confidence, left.xyxy) == ("cat", None, (320, 30, 390, 200))


@pytest.mark.parametrize("kind", [Kind.LABEL_MAP, Kind.DEPTH, Kind.EMBEDDING])
def test_what_has_no_scores_is_not_filtered(kind):
    record = MAKERS[kind]().to_record()

    assert selected(record, ExportOptions(min_confidence=0.9, classes=("cat",))) is record


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_confidence_that_is_none_is_refused(value):
    with pytest.raises(ValueError, match="expected a number from 0 to 1"):
        ExportOptions(min_confidence=value)


def test_a_mask_without_a_box_has_the_box_around_its_pixels():
    first, second = instances(MAKERS["prompted"]().to_record())

    assert (first.xyxy, second.xyxy) == ((110, 60, 298, 240), (320, 30, 390, 200))
    assert bounds(dense_masks()[0]) == (110, 60, 298, 240)
    assert bounds(np.zeros((4, 5), bool)) is None


@pytest.mark.parametrize(
    "mask",
    [
        np.ones((1, 1), bool),
        np.eye(3, dtype=bool),
        np.eye(9, dtype=bool)[::3].repeat(2, axis=0),
        ~np.eye(7, dtype=bool),
    ],
    ids=["a pixel", "a diagonal", "dots", "two halves"],
)
def test_an_outline_covers_every_pixel_of_its_mask(mask):
    import cv2

    filled = cv2.fillPoly(np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.uint8), [outline(mask)], 1)

    assert (filled[: mask.shape[0], : mask.shape[1]] >= mask).all()
    assert len(outline(mask)) > 2


def test_an_empty_mask_has_no_outline():
    assert outline(np.zeros((4, 5), bool)) is None


def test_corners_of_a_turned_box_begin_at_its_own_upper_left():
    corners = turned_corners((100, 50, 40, 20, np.pi / 2))

    np.testing.assert_allclose(corners, [(110, 30), (110, 70), (90, 70), (90, 30)], atol=1e-9)
