import dataclasses
import json

from tests.contract.exports.conftest import write


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_outcome_is_a_line_with_all_of_its_fields(tmp_path, job, rows, decisions):
    summary = write("jsonl", job, rows, decisions, tmp_path)

    lines = read(summary.path)
    assert (summary.items, summary.objects) == (8, 12)
    assert [line["idx"] for line in lines] == list(range(8))
    assert lines[0] == {
        "uri": rows[0].uri,
        "idx": 0,
        "frame": 0,
        "timestamp_s": None,
        "state": "ok",
        "record": rows[0].record,
        "error": None,
        "metadata": None,
        "timings_ms": {"fetch": 0.5, "decode": 2.25},
        "backend": "onnx",
        "package": "tinydet-onnx",
        "decision": "d1",
        "attempt": 1,
    }
    assert lines[6]["error"] == {"code": "image_truncated", "message": "found 3 bytes & no more"}
    assert lines[6]["metadata"] == {"camera": "gate", "n": [1, None]}


def test_a_line_break_in_a_name_stays_on_its_line(tmp_path, job, rows, decisions):
    odd = dataclasses.replace(rows[0], uri="/a\nb\u2028c.jpg")

    summary = write("jsonl", job, [odd], decisions, tmp_path)

    assert summary.path.read_bytes().count(b"\n") == 1


def test_arrays_are_kept_as_base64(tmp_path, job, rows, decisions):
    summary = write("jsonl", job, [dataclasses.replace(rows[0], blob=b"\0\1")], decisions, tmp_path)

    assert read(summary.path)[0]["blob"] == "AAE="
