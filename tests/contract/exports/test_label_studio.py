import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from producer.exports.brush import brush_runs
from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.predictions import BOXES, HW, dense_masks, with_kind


@pytest.fixture
def export(tmp_path, job, rows, decisions):
    def tasks(kind):
        summary = write("label-studio", job, with_kind(rows, kind), decisions, tmp_path / "out")
        config = ET.parse(summary.path / "config.xml")  # noqa: S314 (our own)
        return json.loads((summary.path / "tasks.json").read_text()), config

    return tasks


def decoded(runs):
    """As the editor reads them: a stream of bits, described in `producer/exports/brush.py`."""
    bits = "".join(f"{byte:08b}" for byte in runs)
    at = 0

    def take(count):
        nonlocal at
        at += count
        return int(bits[at - count : at], 2)

    total, width = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < total:
        is_run, size = take(1), sizes[take(2)]
        length = take(size) + 1
        values += [take(width)] * length if is_run else [take(width) for _ in range(length)]
    return np.reshape(values, (-1, 4))


def test_a_box_is_in_percent_with_its_score_and_the_models_version(export):
    tasks, config = export(Kind.BOXES)

    prediction = tasks[0]["predictions"][0]
    assert (prediction["model_version"], prediction["score"]) == ("tinydet-ab", 0.825)
    box = prediction["result"][0]
    assert (box["type"], box["score"], box["value"]["rectanglelabels"]) == ("rectanglelabels", 0.9, ["dog"])
    value = box["value"]
    shares = np.array([value["x"], value["y"], value["x"] + value["width"], value["y"] + value["height"]]) / 100
    np.testing.assert_allclose(shares * [640, 480, 640, 480], BOXES[0], atol=1e-4)
    assert (box["original_width"], box["original_height"]) == (640, 480)
    control = config.find("RectangleLabels")
    assert (control.get("name"), control.get("toName")) == (box["from_name"], box["to_name"])
    assert [label.get("value") for label in control] == ["cat", "dog", "Fußgänger"]


def test_pictures_of_this_machine_are_paths_below_the_storage_of_label_studio(export):
    tasks, _ = export(Kind.BOXES)

    assert tasks[3]["data"]["image"] == "/data/local-files/?d=yard%20%26%20%3Cco%3E/0000.jpg"
    assert len({task["data"]["image"] for task in tasks}) == 6


def test_masks_come_back_pixel_by_pixel(export):
    tasks, config = export(Kind.MASKS)

    for result, mask in zip(tasks[0]["predictions"][0]["result"], dense_masks(), strict=True):
        assert (result["type"], result["value"]["format"]) == ("brushlabels", "rle")
        pixels = decoded(result["value"]["rle"])
        np.testing.assert_array_equal(pixels[:, 3].reshape(HW) == 255, mask)
    assert config.find("BrushLabels") is not None


@pytest.mark.parametrize("side", [1, 7, 300], ids=["one", "small", "runs longer than the longest"])
@pytest.mark.parametrize("is_there", [True, False])
def test_masks_of_any_size_are_written_whole(side, is_there):
    mask = np.full((side, side), is_there)

    assert (decoded(brush_runs(mask)) == 255 * is_there).all()


def test_a_turned_box_turns_around_its_upper_left_corner(export):
    tasks, _ = export(Kind.TURNED)

    value = tasks[0]["predictions"][0]["result"][0]["value"]
    assert value["rotation"] == pytest.approx(np.degrees(0.5), abs=1e-3)
    cos, sin = np.cos(0.5), np.sin(0.5)
    corner = np.add([200, 150], [-60 * cos + 20 * sin, -60 * sin - 20 * cos])
    np.testing.assert_allclose(np.array([value["x"], value["y"]]) / 100 * [640, 480], corner, atol=1e-3)
    np.testing.assert_allclose([value["width"] * 6.4, value["height"] * 4.8], [120, 40], atol=1e-3)


def test_key_points_belong_to_their_box(export):
    tasks, config = export(Kind.KEY_POINTS)

    box, *points = tasks[0]["predictions"][0]["result"][:4]
    assert [point["value"]["keypointlabels"] for point in points] == [["a"], ["b"], ["c"]]
    assert {point["parentID"] for point in points} == {box["id"]}
    ids = [result["id"] for result in tasks[0]["predictions"][0]["result"]]
    assert len(ids) == len(set(ids))
    assert len(config.find("KeyPointLabels")) == 5


def test_of_a_classification_the_best_class_is_chosen(export):
    tasks, config = export(Kind.CLASSES)

    (result,) = tasks[0]["predictions"][0]["result"]
    assert (result["type"], result["value"], result["score"]) == ("choices", {"choices": ["Fußgänger"]}, 0.9)
    assert config.find("Choices").get("name") == result["from_name"]


def test_texts_share_the_region_of_their_box(export):
    tasks, config = export(Kind.TEXT)

    box, text, *_ = tasks[0]["predictions"][0]["result"]
    assert text["value"]["text"] == ["Exit"]
    assert text["id"] == box["id"]
    assert config.find("TextArea").get("perRegion") == "true"
