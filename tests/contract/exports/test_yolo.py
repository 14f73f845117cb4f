"""YOLO files of every kind, read back as trainers read them."""

import dataclasses

import numpy as np
import pytest
import yaml

from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.predictions import BOXES, HW, dense_masks, with_kind

SIZE = np.array([HW[1], HW[0]])


def labels(summary, name="gate/0000"):
    lines = (summary.path / "labels" / f"{name}.txt").read_text().splitlines()
    return [[float(word) for word in line.split()] for line in lines]


def test_a_box_is_class_centre_and_size_in_shares_of_the_picture(tmp_path, job, rows, decisions):
    found = labels(write("yolo", job, with_kind(rows, Kind.BOXES), decisions, tmp_path))

    assert [line[0] for line in found] == [1, 0]
    centre = (BOXES[0, :2] + BOXES[0, 2:]) / 2 / SIZE
    np.testing.assert_allclose(found[0][1:], [*centre, *(BOXES[0, 2:] - BOXES[0, :2]) / SIZE], atol=1e-6)


def test_a_mask_is_one_polygon_that_fills_the_same_pixels_but_for_holes(tmp_path, job, rows, decisions):
    import cv2

    found = labels(write("yolo", job, with_kind(rows, Kind.MASKS), decisions, tmp_path))

    for line, mask in zip(found, dense_masks(), strict=True):
        polygon = np.rint(np.reshape(line[1:], (-1, 2)) * SIZE).astype(np.int32)
        filled = cv2.fillPoly(np.zeros(HW, np.uint8), [polygon], 1).astype(bool)
        outside = mask.copy()
        outside[100:120, 150:160] |= mask[90, 150]  # the hole
        # The line between two parts is one pixel wide.
        assert (filled & ~outside).sum() <= 20
        assert not (outside & ~filled).any()


def test_key_points_follow_the_box_with_what_is_visible_and_classes_are_filled_up(tmp_path, job, rows, decisions):
    summary = write("yolo", job, with_kind(rows, Kind.KEY_POINTS), decisions, tmp_path)

    dog, cat = labels(summary)
    assert (len(dog), len(cat)) == (5 + 9, 5 + 9)
    np.testing.assert_allclose(dog[5:8], [150 / 640, 60 / 480, 2], atol=1e-6)
    assert (dog[10], dog[13]) == (1, 2)
    assert cat[11:] == [0, 0, 0]
    config = yaml.safe_load((summary.path / "data.yaml").read_text())
    assert config["kpt_shape"] == [3, 3]


def test_a_turned_box_is_its_four_corners(tmp_path, job, rows, decisions):
    first, second = labels(write("yolo", job, with_kind(rows, Kind.TURNED), decisions, tmp_path))

    corners = np.reshape(first[1:], (4, 2)) * SIZE
    np.testing.assert_allclose(corners.mean(axis=0), [200, 150], atol=1e-2)
    along = corners[1] - corners[0]
    assert np.hypot(*along) == pytest.approx(120, abs=1e-2)
    assert np.arctan2(along[1], along[0]) == pytest.approx(0.5, abs=1e-3)
    np.testing.assert_allclose(np.reshape(second[1:], (4, 2))[0] * SIZE, [370, 255], atol=1e-2)


def test_classes_stand_in_data_yaml_and_numbers_without_a_name_too(tmp_path, job, rows, decisions):
    nameless = dataclasses.replace(job, class_names=None)

    summary = write("yolo", nameless, with_kind(rows, Kind.TURNED)[:1], decisions, tmp_path)

    assert yaml.safe_load((summary.path / "data.yaml").read_text())["names"] == {0: "cat", 1: "dog"}


def test_scores_stand_at_the_end_only_where_they_are_asked_for(tmp_path, job, rows, decisions):
    without = labels(write("yolo", job, rows, decisions, tmp_path / "a"))
    with_scores = labels(write("yolo", job, rows, decisions, tmp_path / "b", save_conf=True))

    assert [line[:5] for line in with_scores] == without
    assert [line[5] for line in with_scores] == [0.9, 0.8]


def test_a_picture_without_objects_has_an_empty_file(tmp_path, job, rows, decisions):
    summary = write("yolo", job, rows, decisions, tmp_path, min_confidence=0.95)

    assert (summary.items, summary.objects) == (6, 0)
    assert (summary.path / "labels/gate/0000.txt").read_text() == ""


def test_pictures_that_differ_in_their_ending_only_are_told_of_and_none_is_lost(tmp_path, job, rows, decisions):
    twins = [dataclasses.replace(rows[0], uri=f"/a/x{ending}") for ending in (".jpg", ".png")]

    summary = write("yolo", job, twins, decisions, tmp_path)

    assert {path.name for path in (summary.path / "labels").iterdir()} == {"x.txt", "x.png.txt"}
    assert "x.png shares the name of its file" in summary.problems[0]


def test_frames_of_videos_keep_their_whole_name(tmp_path, job, rows, decisions):
    frames = [dataclasses.replace(rows[0], uri="/a/clip.mp4", frame=n, timestamp_s=n / 2) for n in (1, 12)]

    summary = write("yolo", job, frames, decisions, tmp_path)

    assert {path.name for path in (summary.path / "labels").iterdir()} == {"clip.mp4@1.txt", "clip.mp4@12.txt"}


def test_pictures_come_along_if_asked_for_and_missing_ones_are_told(tmp_path, job, rows, decisions, photos):
    (photos / "gate" / "0001.jpg").unlink()

    summary = write("yolo", job, rows, decisions, tmp_path / "out", with_images=True)

    copied = {path.relative_to(summary.path / "images") for path in (summary.path / "images").rglob("*.jpg")}
    assert len(copied) == 5
    assert (summary.path / "images/gate/0000.jpg").read_bytes() == (photos / "gate/0000.jpg").read_bytes()
    assert "0001.jpg" in summary.problems[0]
