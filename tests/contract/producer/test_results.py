"""Results, failures and exports, read from the store itself or through a server."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jobstore.schema import ItemRef, OutcomeState
from producer.errors import FilterInvalid, FormatUnknown, RecordUnsuitable


def test_results_come_in_order_as_arrays_with_their_backend(world, done):
    results = list(done.results())

    assert [result.source.rsplit("/")[-1][0] for result in results] == list("abcdef")
    dogs = results[2]
    assert (dogs.state, dogs.backend, dogs.timings) == (OutcomeState.OK, "onnx", {"forward": 2.0})
    assert dogs.detections.class_name == ("dog", "person", "dog")
    assert dogs.detections.class_id.tolist() == [1, 0, 1]
    assert (dogs.detections.xyxy.dtype, dogs.detections.xyxy.shape) == (np.float32, (3, 4))
    assert dogs.detections.xyxy[1].tolist() == [5.0, 1.0, 15.0, 21.0]
    assert dogs.detections.confidence.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert results[3].detections.xyxy.shape == (0, 4)


def test_results_become_supervisions_detections_and_plain_json(done):
    dogs = list(done.results())[2]

    found = dogs.to_supervision()

    assert (len(found), list(found.data["class_name"])) == (3, ["dog", "person", "dog"])
    plain = json.loads(json.dumps(dogs.to_dict()))
    assert (plain["source"], plain["record"]["class_id"], plain["backend"]) == (dogs.source, [1, 0, 1], "onnx")


def test_a_failed_item_has_an_error_and_no_detections(done):
    broken = list(done.results())[1]

    assert (broken.state, broken.error.code) == (OutcomeState.FAILED, "not_an_image")
    with pytest.raises(RecordUnsuitable, match="not_an_image"):
        broken.detections  # noqa: B018 - asked for its error


def test_a_filter_keeps_rows_and_names_their_objects(done):
    (dogs,) = done.results(where="label == 'dog' and score < .8")

    assert len(dogs.detections) == 3
    assert dogs.matching.confidence.tolist() == pytest.approx([0.7])


def test_a_wrong_filter_is_refused_before_anything_is_read(done):
    with pytest.raises(FilterInvalid, match="score"):
        done.results(where="scor > 1")


def test_states_and_pages_change_nothing_but_what_is_asked(done):
    assert [row.idx for row in done.results(states=["failed"])] == [1]
    assert [row.idx for row in done.results(batch=1)] == [0, 1, 2, 3, 4, 5]


def test_metadata_and_unusual_names_come_back(world, folder):
    odd = folder / "grüße & 100%?.jpg"
    odd.write_bytes(b"\xff\xd8\xff odd")
    job = world.producer.submit("digits", [ItemRef(str(odd), {"camera": "Süd", "n": 3})], hardware="cpu")
    world.work()

    (result,) = job.results(where="metadata.camera = 'Süd' and metadata.n > 2")

    assert result.metadata == {"camera": "Süd", "n": 3}


def test_failures_are_grouped_by_cause_or_given_one_by_one(done):
    (group,) = done.failures(by="cause")
    (item,) = done.failures(by="item")

    assert (group.code, group.count, group.examples) == ("not_an_image", 1, (item.source,))


def test_decisions_say_what_ran(done):
    decisions = done.decisions

    assert {(row.backend, row.device, row.class_names) for row in decisions} == {("onnx", "cpu", ("person", "dog"))}
    assert decisions[0].candidates[0]["verdict"] == "chosen"


def test_exports_are_written_here(done, tmp_path):
    coco, jsonl = done.export(tmp_path / "out", "coco,jsonl")

    assert (coco.objects, jsonl.items) == (6, 6)
    counts = json.loads((tmp_path / "out/manifest.json").read_text())["counts"]
    assert (counts["ok"], counts["failed"]) == (5, 1)


def test_an_unknown_format_is_refused(done, tmp_path):
    with pytest.raises(FormatUnknown, match="koko"):
        done.export(tmp_path / "out", ["koko"])
