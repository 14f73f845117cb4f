import hashlib
import json

from producer.exports import exporter, known_formats, write_manifest


def test_the_manifest_says_what_was_made_by_what_and_the_hash_of_every_file(tmp_path, job, rows, decisions):
    out = tmp_path / "out"
    summaries = [exporter(name)(job, rows, decisions, out) for name in known_formats()]

    data = json.loads(write_manifest(job, decisions, summaries, out).read_text())

    assert data["counts"] == {"total": 8, "ok": 6, "cached": 0, "failed": 1, "skipped": 1, "pending": 0}
    assert (data["model"]["id"], data["model"]["digest"]) == ("tinydet", "sha256:ab")
    assert data["params"] == {"confidence": 0.4}
    assert data["decisions"][0]["backend"] == "onnx"
    assert sorted(data["formats"]) == list(known_formats())
    files = [file for described in data["formats"].values() for file in described["files"]]
    assert len(files) == 2 + 1 + 7
    for file in files:
        assert hashlib.sha256((out / file["path"]).read_bytes()).hexdigest() == file["sha256"]
