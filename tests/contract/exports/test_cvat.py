import xml.etree.ElementTree as ET

import numpy as np
import pytest

from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.predictions import HW, dense_masks, with_kind


@pytest.fixture
def read(tmp_path, job, rows, decisions):
    def annotations(kind):
        path = write("cvat", job, with_kind(rows, kind), decisions, tmp_path / "out").path
        return ET.parse(path).getroot()  # noqa: S314 (our own)

    return annotations


def test_masks_are_runs_of_the_part_that_is_not_empty(read):
    for element, mask in zip(read(Kind.MASKS).iter("mask"), dense_masks(), strict=False):
        left, top, width, height = (int(element.get(name)) for name in ("left", "top", "width", "height"))
        runs = [int(word) for word in element.get("rle").split(",")]
        cut = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
        whole = np.zeros(HW, bool)
        whole[top : top + height, left : left + width] = cut
        np.testing.assert_array_equal(whole, mask)


def test_a_turned_box_has_degrees_and_its_corners_before_it_was_turned(read):
    first, second = list(read(Kind.TURNED).iter("box"))[:2]

    assert float(first.get("rotation")) == pytest.approx(np.degrees(0.5), abs=1e-3)
    assert [float(first.get(name)) for name in ("xtl", "ytl", "xbr", "ybr")] == [140, 130, 260, 170]
    assert second.get("rotation") == "0"


def test_key_points_are_a_skeleton_with_points_that_are_seen_hidden_or_not_there(read):
    root = read(Kind.KEY_POINTS)

    dog, cat = list(root.iter("skeleton"))[:2]
    assert [(point.get("label"), point.get("occluded")) for point in dog.iter("points")] == [
        ("a", "0"), ("b", "1"), ("c", "0")
    ]  # fmt: skip
    assert next(cat.iter("points")).get("points") == "330,40"
    labels = {label.findtext("name"): label for label in root.iter("label")}
    assert labels["dog"].findtext("type") == "skeleton"
    assert labels["a"].findtext("parent") == "dog"


def test_classes_of_a_picture_are_tags_with_their_score(read):
    tags = list(next(read(Kind.CLASSES).iter("image")).iter("tag"))

    assert [(tag.get("label"), tag.findtext("attribute")) for tag in tags] == [
        ("Fußgänger", "0.900000"), ("cat", "0.750000")
    ]  # fmt: skip


def test_what_xml_has_no_place_for_is_replaced(tmp_path, job, rows, decisions):
    import dataclasses

    odd = dataclasses.replace(rows[0], uri='/a/<"&\x01>.jpg')

    root = ET.parse(write("cvat", job, [odd], decisions, tmp_path).path).getroot()  # noqa: S314 (our own)

    assert root.find("image").get("name") == '<"&\ufffd>.jpg'
