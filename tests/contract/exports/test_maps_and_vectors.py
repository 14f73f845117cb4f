"""Masks, depth maps, embeddings and texts as files of their own, read back."""

import dataclasses
import json

import numpy as np
import pytest

from inference_engine.tasks.depth import DepthMap
from producer.errors import ExportFailed
from producer.exports.records import Kind
from tests.contract.exports.conftest import write
from tests.contract.exports.predictions import dense_masks, depth_map, label_map, with_kind


def read_png(path):
    import cv2

    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_label_map_has_the_models_class_ids_with_and_without_confidence(tmp_path, job, rows, decisions):
    from inference_engine.tasks import write_prediction
    from inference_engine.tasks.semantic_segmentation import SemanticSegmentationResult

    given = with_kind(rows, Kind.LABEL_MAP)
    sure = SemanticSegmentationResult(label_map(), ("cat", "dog", "Fußgänger"), np.full((480, 640), 7, np.uint8))
    record, blob = write_prediction(sure)
    given[1] = dataclasses.replace(given[1], record=record, blob=blob)

    summary = write("masks", job, given, decisions, tmp_path)

    for name in ("0000", "0001"):
        np.testing.assert_array_equal(read_png(summary.path / f"semantic/gate/{name}.png"), label_map())
    assert json.loads((summary.path / "classes.json").read_text()) == {"0": "cat", "1": "dog", "2": "Fußgänger"}


@pytest.mark.parametrize("kind", [Kind.MASKS, "prompted"])
def test_an_instance_map_has_the_objects_number_and_the_surest_on_top(tmp_path, job, rows, decisions, kind):
    given = with_kind(rows, kind)
    masks = given[0].record["masks"]
    given[0] = dataclasses.replace(given[0], record={**given[0].record, "masks": [masks[0], masks[0]]})

    summary = write("masks", job, given, decisions, tmp_path)

    first, second = dense_masks()
    np.testing.assert_array_equal(read_png(summary.path / "instances/gate/0000.png"), first * 1)
    np.testing.assert_array_equal(read_png(summary.path / "instances/gate/0001.png"), first * 1 + second * 2)
    line = read_lines(summary.path / "objects.jsonl")[1]
    assert [(each["value"], each["class_name"]) for each in line["objects"]] == [
        (1, "object" if kind == "prompted" else "dog"),
        (2, "object" if kind == "prompted" else "cat"),
    ]


def test_a_damaged_mask_ends_the_export_and_leaves_nothing(tmp_path, job, rows, decisions):
    given = with_kind(rows, Kind.MASKS)
    broken = {"size": [480, 640], "counts": "0"}
    given[3] = dataclasses.replace(given[3], record={**given[3].record, "masks": [broken, broken]})

    with pytest.raises(ExportFailed, match=r"0000\.jpg are damaged"):
        write("masks", job, given, decisions, tmp_path / "out")

    assert not (tmp_path / "out" / "masks").exists()


def test_depth_comes_back_by_its_scale(tmp_path, job, rows, decisions):
    given = with_kind(rows, Kind.DEPTH)

    summary = write("depth", job, given, decisions, tmp_path)

    line = read_lines(summary.path / "scale.jsonl")[0]
    steps = read_png(summary.path / line["file"])
    assert steps.dtype == np.uint16
    metres = line["low"] + steps / line["steps"] * (line["high"] - line["low"])
    np.testing.assert_allclose(metres, depth_map(), atol=19 / 65535)
    engines = DepthMap.from_record(given[0].record, (), given[0].blob)
    np.testing.assert_allclose(metres, engines.depth, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_embeddings_are_one_array_that_numpy_maps_from_disk(tmp_path, job, rows, decisions, dtype):
    vectors = np.random.default_rng(1).normal(size=(6, 5)).astype(dtype)
    record = {"task": "embedding", "image_hw": [480, 640], "dtype": dtype, "dimensions": 5}
    given = [
        dataclasses.replace(row, record=record, blob=vector.tobytes())
        for row, vector in zip(rows[:6], vectors, strict=True)
    ]

    summary = write("embeddings", job, given, decisions, tmp_path)

    np.testing.assert_array_equal(np.load(summary.path / "embeddings.npy", mmap_mode="r"), vectors)
    index = read_lines(summary.path / "index.jsonl")
    assert [(line["row"], line["name"]) for line in index][:2] == [(0, "gate/0000.jpg"), (1, "gate/0001.jpg")]


def test_vectors_of_two_lengths_are_no_array(tmp_path, job, rows, decisions):
    given = with_kind(rows, Kind.EMBEDDING)
    longer = {**given[2].record, "dimensions": 4}
    given[2] = dataclasses.replace(given[2], record=longer, blob=bytes(16))

    with pytest.raises(ExportFailed, match=r"4 float32 in 16 bytes, others have 3 float32; use jsonl or parquet"):
        write("embeddings", job, given, decisions, tmp_path)


def test_a_job_without_vectors_gives_an_array_without_rows(tmp_path, job, decisions):
    summary = write("embeddings", job, [], decisions, tmp_path)

    assert np.load(summary.path / "embeddings.npy").shape == (0, 0)


def test_texts_are_files_and_lines_with_the_places_of_their_parts(tmp_path, job, rows, decisions):
    summary = write("text", job, with_kind(rows, Kind.TEXT), decisions, tmp_path)

    line = read_lines(summary.path / "text.jsonl")[0]
    assert (summary.path / line["file"]).read_text(encoding="utf-8") == "Exit\n5 km" == line["text"]
    assert [(part["text"], part["xyxy"]) for part in line["parts"]] == [
        ("Exit", [100, 50, 300, 250]),
        ("5 km <&>", [310.5, 20, 400, 220]),
    ]


def test_an_answer_to_a_prompt_keeps_its_prompt(tmp_path, job, rows, decisions):
    record = {"task": "vlm", "image_hw": [480, 640], "prompt": "What?", "text": "A cat.", "is_complete": True}

    summary = write("text", job, [dataclasses.replace(rows[0], record=record)], decisions, tmp_path)

    line = read_lines(summary.path / "text.jsonl")[0]
    assert (line["text"], line["prompt"], line["is_complete"], line["parts"]) == ("A cat.", "What?", True, [])
