"""What predictions look like: the pixels that matter, task by task."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawing import TASKS, draw_record
from drawing.colours import class_colour, colour_table, ink_on
from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks import known_tasks, write_prediction
from inference_engine.tasks.action_recognition import ActionSpans
from inference_engine.tasks.classification import ClassificationPrediction
from inference_engine.tasks.depth import DepthMap, DepthUnit
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.embedding import Embedding
from inference_engine.tasks.instance_segmentation import InstanceDetections
from inference_engine.tasks.keypoints import KeyPoints, Skeleton
from inference_engine.tasks.oriented import OrientedDetections
from inference_engine.tasks.panoptic_segmentation import PanopticSegments
from inference_engine.tasks.promptable_segmentation import PromptedMasks
from inference_engine.tasks.prompting import PromptAnswer
from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult
from inference_engine.tasks.structured_ocr import StructuredText
from inference_engine.tasks.text_ocr import RecognizedText
from tests.unit.engine.test_prediction_records import PREDICTIONS

HW = (300, 400)
NAMES = ("background", "cat", "Hündin")
F = np.float32
BOXES = np.array([[60, 80, 200, 220], [220, 100, 360, 260]], F)
SCORES, IDS = np.array([0.9, 0.6], F), np.array([1, 2])


def mask_of(x_min, y_min, x_max, y_max):
    mask = np.zeros(HW, bool)
    mask[y_min:y_max, x_min:x_max] = True
    return mask


MASKS = InstancesRLEMasks.from_dense([np.stack([mask_of(70, 90, 190, 210), mask_of(230, 110, 350, 250)])], HW)
XY = np.array([[[100, 100], [150, 200], [0, 0]], [[250, 120], [330, 240], [290, 180]]], F)
SURE = np.array([[0.9, 0.8, 0.1], [0.9, 0.9, 0.9]], F)
SKELETONS = (Skeleton(()), Skeleton(("nose", "tail", "paw"), ((0, 1), (1, 2))), Skeleton(("a", "b", "c"), ((0, 2),)))
RAMP = np.tile(np.linspace(1, 5, HW[1], dtype=F), (HW[0], 1))
LABELS = (mask_of(0, 150, 400, 300) * 1 + mask_of(200, 150, 400, 300) * 1).astype(np.uint8)
SHOWN = {
    "object-detection": Detections(BOXES, SCORES, IDS, HW, NAMES),
    "instance-segmentation": InstanceDetections(BOXES, SCORES, IDS, MASKS, HW, NAMES),
    "interactive-instance-segmentation": PromptedMasks(MASKS, SCORES, np.array([0, 1]), HW),
    "keypoint-detection": KeyPoints(XY, SURE, BOXES, SCORES, IDS, HW, NAMES, SKELETONS, 0.5),
    "oriented-object-detection": OrientedDetections(
        np.array([[200, 150, 200, 60, np.pi / 4]], F), SCORES[:1], IDS[:1], HW, NAMES
    ),
    "classification": ClassificationPrediction(IDS, SCORES, HW, NAMES),
    "semantic-segmentation": SemanticSegmentationResult(LABELS, NAMES),
    "panoptic-segmentation": PanopticSegments(SCORES, IDS, np.array([True, False]), MASKS, HW, NAMES),
    "depth-estimation": DepthMap(RAMP, DepthUnit.METRES),
    "embedding": Embedding(np.ones(512, F), HW),
    "structured-ocr": StructuredText("EXIT 12", ("EXIT", "12"), BOXES, SCORES, np.array([0, 0]), HW, ("line",)),
    "text-only-ocr": RecognizedText("EXIT 12\nthis way", HW, 0.9),
    "vlm": PromptAnswer("A cat sits on a table.", "What is there?", HW),
    "action-recognition": ActionSpans(np.array([0, 25]), np.array([25, 80]), SCORES, IDS, 25.0, HW, NAMES),
}


@pytest.fixture
def picture():
    """Grey, with a texture that a colour over it would hide."""
    return np.random.default_rng(0).integers(110, 130, (*HW, 3), np.uint8)


def is_near(pixel, colour, by=12):
    return np.abs(pixel.astype(int) - colour).max() <= by


def mixed(colour, share):
    return np.asarray(colour) * share + 120 * (1 - share)


def test_every_task_has_its_look():
    assert set(TASKS) == set(known_tasks())


@pytest.mark.parametrize("task", SHOWN)
def test_a_new_picture_is_drawn_and_the_given_one_stays(picture, task):
    before = picture.copy()

    drawn = SHOWN[task].draw(picture)

    assert (drawn.shape, drawn.dtype) == (picture.shape, np.uint8)
    assert not np.shares_memory(drawn, picture)
    np.testing.assert_array_equal(picture, before)
    assert (drawn != picture).any()


def test_the_plate_of_a_tracked_box_has_its_number(picture):
    plain = SHOWN["object-detection"]
    one, two = (replace(plain, track_id=np.array(ids)) for ids in ([-1, -1], [-1, 7]))

    np.testing.assert_array_equal(one.draw(picture), plain.draw(picture))
    assert (two.draw(picture) != plain.draw(picture)).any()


def test_spans_with_times_of_their_own_show_them(picture):
    plain = SHOWN["action-recognition"]
    same, other = (replace(plain, times_s=plain.seconds + shift) for shift in (0, 3))

    np.testing.assert_array_equal(same.draw(picture), plain.draw(picture))
    assert (other.draw(picture) != plain.draw(picture)).any()


def test_a_box_has_its_classs_colour_on_its_line_and_a_plate_above(picture):
    drawn = SHOWN["object-detection"].draw(picture)

    for (left, top, _, bottom), class_id in zip(BOXES.astype(int), IDS, strict=True):
        assert is_near(drawn[(top + bottom) // 2, left], class_colour(class_id))
        assert is_near(drawn[top - 2, left + 1], class_colour(class_id))
    np.testing.assert_array_equal(drawn[120:200, 100:150], picture[120:200, 100:150])


def test_a_mask_is_mixed_in_where_it_is_and_nowhere_else(picture):
    drawn = SHOWN["instance-segmentation"].draw(picture)

    assert is_near(drawn[150, 130], mixed(class_colour(1), 0.45))
    assert is_near(drawn[180, 290], mixed(class_colour(2), 0.45))
    np.testing.assert_array_equal(drawn[85, 100:150], picture[85, 100:150])


def test_sure_points_and_lines_between_them_are_drawn_and_others_are_not(picture):
    drawn = SHOWN["keypoint-detection"].draw(picture)

    assert is_near(drawn[100, 100], class_colour(0))
    assert is_near(drawn[200, 150], class_colour(1))
    assert drawn[150, 125].min() > 200, "the line of two sure points"
    np.testing.assert_array_equal(drawn[:20, :20], picture[:20, :20])
    np.testing.assert_array_equal(drawn[100, 75:85], picture[100, 75:85])


def test_a_turned_box_stands_on_its_corner(picture):
    found = SHOWN["oriented-object-detection"]
    drawn = found.draw(picture)

    for x, y in found.corners[0].round().astype(int):
        assert np.abs(drawn[y - 1 : y + 2, x - 1 : x + 2].astype(int) - class_colour(1)).max(axis=2).min() < 60
    np.testing.assert_array_equal(drawn[150, 195:205], picture[150, 195:205])


def test_a_label_map_colours_all_but_the_background(picture):
    drawn = SHOWN["semantic-segmentation"].draw(picture)

    assert is_near(drawn[250, 100], mixed(class_colour(1), 0.55))
    assert is_near(drawn[250, 300], mixed(class_colour(2), 0.55))
    np.testing.assert_array_equal(drawn[:140, 200:], picture[:140, 200:])


@pytest.mark.parametrize(("unit", "near"), [(DepthUnit.METRES, 20), (DepthUnit.RELATIVE_INVERSE, 380)])
def test_what_is_near_is_warm_in_either_unit(picture, unit, near):
    drawn = DepthMap(RAMP, unit).draw(picture)

    red, _, blue = drawn[200, near].astype(int)
    assert red > blue + 60
    red, _, blue = drawn[200, HW[1] - near].astype(int)
    assert blue > red


@pytest.mark.parametrize("task", ["classification", "text-only-ocr", "vlm", "action-recognition", "embedding"])
def test_what_has_no_place_stands_at_the_upper_left(picture, task):
    changed = (SHOWN[task].draw(picture) != picture).any(axis=2)

    assert changed[0, 0]
    assert not changed[100:].any()


def test_segments_are_mixed_in_and_named_at_the_upper_left(picture):
    drawn = SHOWN["panoptic-segmentation"].draw(picture)

    assert is_near(drawn[150, 130], mixed(class_colour(1), 0.45))
    assert is_near(drawn[180, 290], mixed(class_colour(2), 0.45))
    assert (drawn[:20, :60] != picture[:20, :60]).any()


def test_a_smaller_copy_has_everything_in_its_place(picture):
    drawn = SHOWN["instance-segmentation"].draw(np.ascontiguousarray(picture[::2, ::2]))

    assert drawn.shape == (150, 200, 3)
    assert is_near(drawn[75, 65], mixed(class_colour(1), 0.45))
    assert is_near(drawn[75, 30], class_colour(1))


@pytest.mark.parametrize("task", PREDICTIONS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_any_prediction_is_drawn_on_a_picture_of_any_size(task, data):
    prediction = data.draw(PREDICTIONS[task])
    image = np.full((data.draw(st.integers(1, 60)), data.draw(st.integers(1, 60)), 3), 120, np.uint8)

    assert prediction.draw(image).shape == image.shape


def test_what_cannot_be_drawn_is_refused(picture):
    record, _ = write_prediction(SHOWN["semantic-segmentation"])
    with pytest.raises(ValueError, match="should be a grey PNG"):
        draw_record(picture, record, None)
    with pytest.raises(ValueError, match="cannot be drawn, only object-detection"):
        draw_record(picture, {"task": "prophecy", "image_hw": HW})
    with pytest.raises(ValueError, match=r"expected a picture \(H, W, 3\) uint8 RGB"):
        draw_record(picture[..., 0], record)


def test_a_damaged_mask_is_refused_before_it_is_decoded(picture):
    record, _ = write_prediction(SHOWN["interactive-instance-segmentation"])
    record["masks"][0]["counts"] = "0" * 40

    with pytest.raises(ValueError, match="its image is 300 x 400"):
        draw_record(picture, record)


def test_colours_of_neighbouring_classes_differ_and_ink_reads_on_them():
    table = colour_table(30).astype(int)

    assert np.abs(np.diff(table, axis=0)).max(axis=1).min() > 60
    assert ink_on((255, 255, 255)) == (0, 0, 0)
    assert ink_on((0, 0, 0)) == (255, 255, 255)
