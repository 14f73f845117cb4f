import hashlib
import json

import pytest

from producer.errors import ExportFailed, ExportOptionInvalid, FormatUnknown, FormatUnsuitable
from producer.exports import write_exports
from producer.exports.records import Kind
from producer.exports.registry import every_format
from tests.contract.exports.conftest import dataset_of

BOX_FORMATS = [each.name for each in every_format() if Kind.BOXES in each.takes]


def test_the_manifest_says_what_was_made_by_what_and_the_hash_of_every_file(tmp_path, job, rows, decisions):
    out = tmp_path / "out"
    options = {"min_confidence": 0.85, "classes": ("cat",)}

    summaries = write_exports(dataset_of(job, rows, decisions, **options), BOX_FORMATS, out)

    data = json.loads((out / "manifest.json").read_text())
    assert data["counts"] == {"total": 8, "ok": 6, "cached": 0, "failed": 1, "skipped": 1, "pending": 0}
    assert (data["model"]["id"], data["model"]["digest"]) == ("tinydet", "sha256:ab")
    assert data["params"] == {"confidence": 0.4}
    assert (data["options"]["min_confidence"], data["options"]["classes"]) == (0.85, ["cat"])
    assert data["decisions"][0]["backend"] == "onnx"
    assert list(data["formats"]) == BOX_FORMATS == [summary.format for summary in summaries]
    files = [file for described in data["formats"].values() for file in described["files"]]
    assert {file["path"] for file in files} | {"manifest.json"} == {
        str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()
    }
    for file in files:
        content = (out / file["path"]).read_bytes()
        assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])


def test_a_format_without_a_place_for_the_records_is_refused_with_those_that_have(tmp_path, job, rows, decisions):
    with pytest.raises(FormatUnsuitable, match=r"embeddings takes embedding, .* hold boxes; formats that fit: .*yolo"):
        write_exports(dataset_of(job, rows, decisions), ["coco", "embeddings"], tmp_path / "out")

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wanted", "error"),
    [
        (("yolo9000", "cat"), (FormatUnknown, "yolo9000.*expected one of")),
        (("coco", "unicorn"), (ExportOptionInvalid, "unicorn.*Fußgänger")),
    ],
    ids=["format", "class"],
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, job, rows, decisions, wanted, error):
    (name, class_name), (kind, words) = wanted, error

    with pytest.raises(kind, match=words):
        write_exports(dataset_of(job, rows, decisions, classes=("cat", class_name)), ["coco", name], tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_while_an_export_is_written_again_no_manifest_vouches_for_it(tmp_path, job, rows, decisions):
    write_exports(dataset_of(job, rows, decisions), ["coco", "voc"], tmp_path)
    (tmp_path / "voc" / "labels.txt").unlink()  # now it is somebody's own folder, and the second format fails

    with pytest.raises(ExportFailed, match="no earlier export"):
        write_exports(dataset_of(job, rows, decisions), ["coco", "voc"], tmp_path)

    assert (tmp_path / "coco" / "annotations.json").exists()
    assert not (tmp_path / "manifest.json").exists()


def test_a_file_in_the_place_of_the_destination_is_a_typed_error(tmp_path, job, rows, decisions):
    (tmp_path / "out").write_text("mine")

    with pytest.raises(ExportFailed, match="Not a directory"):
        write_exports(dataset_of(job, rows, decisions), ["coco"], tmp_path / "out")
