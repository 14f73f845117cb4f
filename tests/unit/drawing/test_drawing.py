"""What predictions look like: the pixels that matter, task by task."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawing import TASKS, draw_record
from drawing.colours import class_colour, colour_table, ink_on
from inference_engine.tasks import known_tasks, write_prediction
from inference_engine.tasks.depth import DepthMap, DepthUnit
from tests.fixtures.looks import ALIKE, BOXES, FOLDER, HW, IDS, RAMP, SHOWN, ground
from tests.unit.engine.test_prediction_records import PREDICTIONS


@pytest.fixture
def picture():
    """Grey, with a texture that a colour over it would hide."""
    return np.random.default_rng(0).integers(110, 130, (*HW, 3), np.uint8)


def is_near(pixel, colour, by=12):
    return np.abs(pixel.astype(int) - colour).max() <= by


def mixed(colour, share):
    return np.asarray(colour) * share + 120 * (1 - share)


def test_every_task_has_its_look():
    assert set(TASKS) == {*known_tasks(), "detect-then-classify"}
    assert set(SHOWN) | set(ALIKE) == set(TASKS)
    assert all(TASKS[task] == TASKS[other] for task, other in ALIKE.items())


@pytest.mark.parametrize("task", SHOWN)
def test_a_look_is_the_one_in_the_documents(task):
    stored = cv2.cvtColor(cv2.imread(str(FOLDER / f"{task}.png")), cv2.COLOR_BGR2RGB)

    drawn = SHOWN[task].draw(ground())

    # Another release of OpenCV or FreeType may smooth an edge otherwise; nothing else may differ.
    apart = np.abs(drawn.astype(int) - stored).max(axis=2)
    assert apart.mean() < 0.5
    assert (apart > 64).mean() < 0.002


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


def found(*boxes):
    """A record of `(class_id, confidence, left, top)`, each box 60 x 60."""
    return {
        "task": "object-detection",
        "image_hw": list(HW),
        "confidence": [each[1] for each in boxes],
        "class_id": [each[0] for each in boxes],
        "class_name": ["thing"] * len(boxes),
        "xyxy": [[x, y, x + 60, y + 60] for _, _, x, y in boxes],
    }


def test_the_plate_of_a_less_sure_box_goes_below_the_one_that_it_would_cover(picture):
    both = draw_record(picture, found((0, 0.9, 60, 60), (1, 0.5, 64, 62)))
    surest = draw_record(picture, found((0, 0.9, 60, 60)))

    np.testing.assert_array_equal(both[:58, 62:160], surest[:58, 62:160])
    below = both[62:76, 68:130].reshape(-1, 3)
    assert sum(is_near(pixel, class_colour(1), by=2) for pixel in below) > len(below) // 3


def test_where_the_picture_ends_the_surest_plate_lies_on_top(picture):
    bottom = HW[0] - 8
    three = draw_record(picture, found(*((number, 0.9 - number / 10, 60, bottom) for number in range(3))))
    surest = draw_record(picture, found((0, 0.9, 60, bottom)))

    np.testing.assert_array_equal(three[: bottom - 2, 62:160], surest[: bottom - 2, 62:160])


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
