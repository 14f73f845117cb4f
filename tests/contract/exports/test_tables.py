"""CSV, Parquet and the Hugging Face image folder, read back."""

import csv
import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from producer.exports.formats import parquet
from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.predictions import BOXES, MAKERS, with_kind


def read_csv(summary):
    with summary.path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CSV = {
    Kind.BOXES: (2, {"class_name": "dog", "x_min": "100.0", "y_max": "250.0", "confidence": "0.9"}),
    Kind.TURNED: (2, {"x_centre": "200.0", "angle_radians": "0.5"}),
    Kind.CLASSES: (2, {"class_name": "Fußgänger", "x_min": ""}),
    Kind.LABEL_MAP: (3, {"class_name": "cat", "pixels": "286200"}),
    Kind.DEPTH: (1, {"low": "1.0", "high": "20.0", "unit": "metres"}),
    Kind.EMBEDDING: (1, {"dimensions": "3"}),
    Kind.TEXT: (2, {"text": "Exit", "class_name": "line"}),
    Kind.SPANS: (2, {"start_frame": "0", "end_frame": "30"}),
    "prompted": (2, {"class_name": "object", "x_min": "110.0", "x_max": "298.0"}),
}


@pytest.mark.parametrize("kind", CSV)
def test_csv_has_a_row_for_what_the_task_finds(tmp_path, job, rows, decisions, kind):
    rows_a_picture, expected = CSV[kind]

    found = read_csv(write("csv", job, with_kind(rows, kind), decisions, tmp_path))

    assert len(found) == 6 * rows_a_picture
    assert found[0]["name"] == "gate/0000.jpg"
    assert {name: found[0][name] for name in expected} == expected


def test_csv_has_one_row_for_a_picture_in_which_nothing_was_found(tmp_path, job, rows, decisions):
    found = read_csv(write("csv", job, rows, decisions, tmp_path, min_confidence=0.99))

    assert [row["class_name"] for row in found] == [""] * 6


def test_csv_keeps_line_breaks_and_quotes_of_texts(tmp_path, job, rows, decisions):
    record = {"task": "text-only-ocr", "image_hw": [480, 640], "text": 'a "b",\nc', "text_confidence": None}

    found = read_csv(write("csv", job, [dataclasses.replace(rows[0], record=record)], decisions, tmp_path))

    assert [row["text"] for row in found] == ['a "b",\nc']


@pytest.mark.parametrize("kind", MAKERS)
def test_parquet_holds_every_outcome_and_the_whole_record(tmp_path, job, rows, decisions, kind):
    given = with_kind(rows, kind)

    table = pq.read_table(write("parquet", job, given, decisions, tmp_path).path).to_pylist()

    assert [row["state"] for row in table] == ["ok"] * 6 + ["failed", "skipped"]
    assert table[6]["error_code"] == "image_truncated"
    assert table[0]["backend"] == "onnx"
    assert json.loads(table[0]["record"]) == json.loads(json.dumps(given[0].record))
    if kind == Kind.EMBEDDING:
        assert table[0]["embedding"] == pytest.approx([0.6, -0.8, 0.25])
    else:
        assert table[0]["blob"] == given[0].blob
    if kind == Kind.BOXES:
        first = table[0]["objects"][0]
        assert [first[name] for name in ("x_min", "y_min", "x_max", "y_max")] == BOXES[0].tolist()
        assert (first["class_name"], len(table[0]["objects"])) == ("dog", 2)


def test_parquet_has_row_groups_of_a_bounded_size(tmp_path, job, rows, decisions, monkeypatch):
    monkeypatch.setattr(parquet, "GROUP_ROWS", 3)

    file = pq.ParquetFile(write("parquet", job, rows, decisions, tmp_path).path)

    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [3, 3, 2]


def test_tracks_and_texts_of_objects_are_in_every_format_that_has_a_place(tmp_path, job, rows, decisions):
    given = with_kind(rows[:1], Kind.TEXT)
    given = [dataclasses.replace(row, record={**row.record, "track_id": [7, 3]}) for row in given]

    paths = {name: write(name, job, given, decisions, tmp_path) for name in ("coco", "csv", "cvat", "hf", "parquet")}

    annotations = json.loads(paths["coco"].path.read_text())["annotations"]
    assert [(each["track_id"], each["text"]) for each in annotations] == [(7, "Exit"), (3, "5 km <&>")]
    assert [row["track_id"] for row in read_csv(paths["csv"])] == ["7", "3"]
    assert '<attribute name="track_id">7</attribute>' in paths["cvat"].path.read_text()
    assert read_lines(paths["hf"])[0]["objects"]["track_id"] == [7, 3]
    assert [each["track_id"] for each in pq.read_table(paths["parquet"].path).to_pylist()[0]["objects"]] == [7, 3]


def read_lines(summary):
    return [json.loads(line) for line in (summary.path / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]


def test_the_image_folder_has_columns_of_boxes_beside_the_pictures_they_name(tmp_path, job, rows, decisions):
    summary = write("hf", job, rows, decisions, tmp_path, with_images=True)

    lines = read_lines(summary)
    assert all((summary.path / line["file_name"]).is_file() for line in lines)
    assert lines[0]["objects"] == {
        "bbox": [[10.25, 20.5, 189.875, 279.5], [50.25, 20.5, 189.875, 279.5]],
        "categories": ["cat", "dog"],
        "category_id": [0, 1],
        "score": [0.9, 0.8],
    }


def test_the_image_folder_of_a_classification_has_labels(tmp_path, job, rows, decisions):
    lines = read_lines(write("hf", job, with_kind(rows, Kind.CLASSES), decisions, tmp_path))

    assert (lines[0]["label"], lines[0]["labels"]) == ("Fußgänger", ["Fußgänger", "cat"])
    assert "objects" not in lines[0]


def test_the_image_folder_has_masks_and_key_points_where_they_are(tmp_path, job, rows, decisions):
    masks = read_lines(write("hf", job, with_kind(rows, Kind.MASKS), decisions, tmp_path / "a"))
    points = read_lines(write("hf", job, with_kind(rows, Kind.KEY_POINTS), decisions, tmp_path / "b"))

    assert masks[0]["objects"]["segmentation"][0]["size"] == [480, 640]
    assert points[0]["objects"]["keypoints"][1] == [[330, 40, 2], [380, 200, 2]]
    np.testing.assert_allclose(points[0]["objects"]["score"], [0.9, 0.75], atol=1e-6)
