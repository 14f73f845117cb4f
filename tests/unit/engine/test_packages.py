"""Reading a package folder: what is there is used, what is wrong is said, and nothing else is raised."""

import hashlib
import json
import shutil

import numpy as np
import pytest

from inference_engine import AutoModel, explain
from inference_engine.errors import ModelNotFound, PackageInvalid
from inference_engine.packages import digest_of, read_package
from inference_engine.providers.local import find_model, list_models


def test_a_package_is_read_whole(write_package):
    folder = write_package(package_id="pets-onnx", model_id="pets", onnx={"opset": 17})

    package = read_package(folder)

    assert (package.package_id, package.model_id, package.kind, package.family) == ("pets-onnx", "pets", "onnx", "yolo")
    assert (package.quantization, package.opset, package.class_names) == ("fp32", 17, ("cat", "dog"))
    assert (package.static_batch_size, package.max_batch_size) == (None, 8)
    assert package.weights == folder / "model.onnx"


def test_a_package_without_ids_is_called_after_its_folders(write_package):
    package = read_package(write_package("pets/onnx-fp32"))

    assert (package.model_id, package.package_id) == ("pets", "onnx-fp32")


def test_a_right_hash_is_accepted_and_a_wrong_one_refused(write_package):
    folder = write_package()
    right = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()

    assert read_package(write_package(files={"model.onnx": {"sha256": right}})).kind == "onnx"
    with pytest.raises(PackageInvalid, match="fetch the package again"):
        read_package(write_package(files={"model.onnx": {"sha256": "0" * 64}}))


def test_a_declared_file_that_is_absent_is_named(write_package):
    with pytest.raises(PackageInvalid, match=r"vocabulary\.txt: sha256 is absent"):
        read_package(write_package(files={"vocabulary.txt": {"sha256": "0" * 64}}))


@pytest.mark.parametrize("name", ["model.onnx", "class_names.txt", "inference_config.json", "model_config.json"])
def test_a_missing_file_is_refused_and_named(write_package, name):
    folder = write_package()
    (folder / name).unlink()

    with pytest.raises(PackageInvalid, match=name.replace(".", r"\.")):
        read_package(folder)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '"text"', "\xff", "[" * 100_000],
    ids=["empty", "cut", "list", "null", "text", "ff", "deep"],
)
@pytest.mark.parametrize("name", ["inference_config.json", "model_config.json"])
def test_what_is_no_json_object_is_refused(write_package, name, text):
    folder = write_package()
    (folder / name).write_bytes(text.encode("latin-1"))

    with pytest.raises(PackageInvalid, match=name.replace(".", r"\.")):
        read_package(folder)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("cat\r\ndog\r\n\r\n", ("cat", "dog")),
        ("\ufeffcat\ndog", ("cat", "dog")),
        ("traffic light\n  hund \n", ("traffic light", "hund")),
        ("", None),
        ("\n\n", None),
        ("cat\ncat\n", None),
        ("cat\n\ndog\n", None),
    ],
    ids=["plain", "windows", "bom", "spaces", "empty", "only newlines", "twice", "hole"],
)
def test_class_names_are_different_and_have_no_holes(write_package, names, expected):
    folder = write_package(names=names)

    if expected:
        assert read_package(folder).class_names == expected
        return
    with pytest.raises(PackageInvalid, match="class names"):
        read_package(folder)


def test_class_names_that_are_no_text_are_refused(write_package):
    folder = write_package()
    (folder / "class_names.txt").write_bytes(b"\xe9t\xe9\n")

    with pytest.raises(PackageInvalid, match="class names cannot be read"):
        read_package(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema_version", 2),
        ("model_architecture", "resnet"),
        ("model_architecture", None),
        ("model_architecture", 8),
        ("task_type", ""),
        ("backend_type", None),
        ("weights", "../model.onnx"),
        ("weights", "/etc/hostname"),
        ("weights", ".."),
        ("weights", "absent.onnx"),
        ("quantization", "int3"),
        ("quantization", 8),
        ("onnx", [17]),
        ("onnx", {"opset": "17"}),
        ("files", ["model.onnx"]),
        ("files", {"model.onnx": "0" * 64}),
        ("module", "tinydet"),
        ("module", {"args": {}}),
        ("module", {"name": "tinydet", "args": [1]}),
    ],
)
def test_a_wrong_field_is_refused_with_the_file_named(write_package, key, value):
    with pytest.raises(PackageInvalid, match=r"model_config\.json"):
        read_package(write_package(**{key: value}))


def test_a_model_folder_without_what_it_needs_is_not_found(tmp_path):
    for reference in (
        str(tmp_path),
        str(tmp_path / "absent"),
        "./absent",
        "~nobody-is-called-this/x",
        "/" + "x" * 5000,
    ):
        with pytest.raises(ModelNotFound):
            find_model(reference)


@pytest.mark.parametrize("reference", ["", "a b", "../x y", "x" * 5000, "a//b", "a\0b"])
def test_what_is_neither_path_nor_id_is_not_found(reference):
    with pytest.raises(ModelNotFound):
        find_model(reference)


def test_an_id_is_looked_up_below_the_models_folders_only(write_package, tmp_path, monkeypatch):
    write_package("models/pets/onnx")
    monkeypatch.chdir(tmp_path / "models")

    assert find_model("pets", [tmp_path / "models"]).model_id == "pets"
    with pytest.raises(ModelNotFound, match=r"write \./pets"):
        find_model("pets")


def test_models_are_listed_by_id(write_package, tmp_path):
    write_package("models/pets/onnx")
    write_package("models/birds/onnx")

    assert list_models([tmp_path / "models", tmp_path / "absent"]) == ["birds", "pets"]


def test_a_broken_package_is_a_rejected_candidate_and_the_others_run(write_package, tmp_path):
    write_package("pets/good")
    (write_package("pets/bad") / "class_names.txt").unlink()

    decision = explain(tmp_path / "pets")

    (bad,) = [c for c in decision.candidates if c.package_id == "bad"]
    assert (bad.verdict, [r.code for r in bad.reasons]) == ("rejected", ["package_invalid"])
    assert "class_names.txt" in bad.reasons[0].message
    model = AutoModel.from_pretrained(tmp_path / "pets")
    assert model.package.package_id == "good"
    assert len(model(np.zeros((8, 8, 3), np.uint8))) == 1


def test_a_model_with_only_broken_packages_says_why(write_package, tmp_path):
    for name in ("a", "b"):
        (write_package(f"pets/{name}") / "class_names.txt").unlink()

    with pytest.raises(PackageInvalid) as raised:
        find_model(str(tmp_path / "pets"))

    assert "/a/" in str(raised.value)
    assert "/b/" in str(raised.value)


def test_two_packages_of_one_id_are_not_mixed_up(write_package, tmp_path):
    write_package("pets/one", package_id="same")
    write_package("pets/two", package_id="same")

    found = find_model(str(tmp_path / "pets"))

    assert [package.weights.parent.name for package in found.packages] == ["one"]
    assert "same" in found.broken["two"]


def test_the_digest_follows_the_content_and_not_the_place(write_package, tmp_path):
    folder = write_package("pets/one", package_id="x", model_id="x")
    shutil.copytree(folder, tmp_path / "pets" / "two")
    first = read_package(folder)

    assert read_package(tmp_path / "pets" / "two").digest == first.digest
    (folder / "class_names.txt").write_text("cat\nhound\n", encoding="utf-8")
    assert read_package(folder).digest != first.digest


def test_the_digest_does_not_depend_on_the_order_of_files():
    assert digest_of({"a": "1", "b": "2"}) == digest_of({"b": "2", "a": "1"}) != digest_of({"a": "2", "b": "1"})


def test_a_configuration_that_contradicts_the_file_is_refused_when_it_opens(write_package, tmp_path):
    inference = json.loads((write_package() / "inference_config.json").read_text(encoding="utf-8"))
    inference["network_input"]["training_input_size"] = {"height": 64, "width": 64}
    write_package("pets/a-wrong", inference=inference)
    write_package("pets/b-right")

    model = AutoModel.from_pretrained(tmp_path / "pets")

    wrong = next(c for c in model.decision.candidates if (c.package_id, c.verdict) == ("a-wrong", "rejected"))
    assert model.package.package_id == "b-right"
    assert [reason.code for reason in wrong.reasons] == ["open_failed"]
    assert "64, 64" in wrong.reasons[0].message
