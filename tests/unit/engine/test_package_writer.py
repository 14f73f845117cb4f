"""Packages that are made here are valid, whole or not there at all, and their damage is found."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from safetensors.numpy import save_file

from inference_engine import AutoModel
from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.package_writer import NewPackage, add_package, hash_report
from inference_engine.packages import read_package
from nightshift.cli import cli
from tests.fixtures.hf_models import write_hf_model
from tests.unit.engine.conftest import detector_model
from tests.unit.engine.test_exported_onnx import HEAD, LEFT

PICTURE = np.zeros((32, 32, 3), np.uint8)


def test_a_bare_file_becomes_a_package_that_gives_the_same_boxes(write_onnx, tmp_path):
    path = write_onnx(HEAD, metadata=LEFT, batch=2)

    package = add_package(path, tmp_path / "models", NewPackage("pets"))

    assert package.weights == tmp_path / "models" / "pets" / "onnx-fp32" / "model.onnx"
    assert (package.opset, package.static_batch_size, package.class_names) == (17, 2, ("cat", "dog"))
    found, bare = (AutoModel.from_pretrained(each)(PICTURE)[0] for each in (package.weights.parent, path))
    assert found == bare
    assert len(found)


def test_what_the_exporter_did_not_say_is_said_by_the_caller(write_onnx, tmp_path):
    path = write_onnx(HEAD, hw=("h", "w"))
    new = NewPackage("pets", class_names=("a", "b"), size=(64, 32))

    package = add_package(path, tmp_path / "models", new)

    assert (package.class_names, package.config.network_input.hw) == (("a", "b"), (64, 32))
    with pytest.raises(PackageInvalid, match="class names"):
        add_package(path, tmp_path / "models", NewPackage("others", size=(64, 32)))


def test_external_data_come_along_with_their_hash(tmp_path):
    path = tmp_path / "big.onnx"
    onnx.save(
        detector_model(HEAD, metadata=LEFT), path, save_as_external_data=True, location="big.data", size_threshold=50
    )

    package = add_package(path, tmp_path / "models", NewPackage("pets"))

    assert "big.data" in json.loads((package.weights.parent / "model_config.json").read_text())["files"]
    assert len(AutoModel.from_pretrained(package.weights.parent)(PICTURE)[0]) == 2


@pytest.mark.parametrize(
    ("suffix", "kind"), [("torchscript", "torch-script"), ("pt2", "torch-export"), ("engine", "trt")]
)
def test_compiled_files_become_packages_that_need_trust(tmp_path, suffix, kind):
    (tmp_path / f"net.{suffix}").write_bytes(b"compiled")

    package = add_package(tmp_path / f"net.{suffix}", tmp_path, NewPackage("pets", class_names=("a",), size=(8, 8)))

    assert (package.kind, package.weights.name) == (kind, f"model.{suffix}")


def test_safetensors_need_their_module(tmp_path):
    save_file({"w": np.ones(2, np.float32)}, tmp_path / "net.safetensors")
    known = {"class_names": ("a",), "size": (8, 8)}

    with pytest.raises(ParameterInvalid, match="--module"):
        add_package(tmp_path / "net.safetensors", tmp_path, NewPackage("pets", **known))
    package = add_package(
        tmp_path / "net.safetensors", tmp_path, NewPackage("pets", module=("tinydet", {"width": 4}), **known)
    )
    assert package.module == ("tinydet", {"width": 4})


def test_a_hugging_face_folder_is_added_verified_opened_and_gives_the_same_boxes(tmp_path):
    write_hf_model(tmp_path / "saved", "rt_detr")
    (tmp_path / "saved" / "pytorch_model.bin").write_bytes(b"pickle")
    picture = np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8)

    package = add_package(tmp_path / "saved", tmp_path / "models", NewPackage("pets"))
    folder = package.weights.parent
    alone, added = (AutoModel.from_pretrained(place) for place in (tmp_path / "saved", folder))

    assert (package.kind, package.family, package.package_id) == ("hf", "hf_detection", "pets-hf-fp32")
    assert "pytorch_model.bin" not in package.files
    assert {verdict for _, verdict in hash_report(folder)} == {"ok"}
    assert added(picture, confidence=0) == alone(picture, confidence=0)
    assert len(added(picture, confidence=0)[0]) == 10


def test_a_hugging_face_folder_takes_other_names_and_thresholds_and_refuses_another_input(tmp_path):
    write_hf_model(tmp_path / "saved", "yolos")
    nms = {"post_processing": {"type": "nms", "fused": False, "nms_parameters": {"max_detections": 2}}}
    names = ("Katze", "Hund", "Kuh")

    package = add_package(tmp_path / "saved", tmp_path / "m", NewPackage("pets", class_names=names, inference=nms))
    (found,) = AutoModel.from_pretrained(package.weights.parent)(np.zeros((8, 8, 3), np.uint8), confidence=0)

    assert (found.class_names, len(found)) == (names, 2)
    with pytest.raises(PackageInvalid, match=r"unknown key 'network_input'"):
        add_package(tmp_path / "saved", tmp_path / "n", NewPackage("pets", inference={"network_input": {}}))
    with pytest.raises(PackageInvalid, match=r"class_names\.txt has 1 names, id2label in config.json 3"):
        add_package(tmp_path / "saved", tmp_path / "n", NewPackage("pets", class_names=("cat",)))
    with pytest.raises(ParameterInvalid, match="leave out --size"):
        add_package(tmp_path / "saved", tmp_path / "n", NewPackage("pets", size=(8, 8)))


def test_an_architecture_that_nobody_opens_is_not_added(tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "papyrus"}))
    (folder / "preprocessor_config.json").write_text("{}")

    with pytest.raises(PackageInvalid, match="model_type 'papyrus' is not one of"):
        add_package(folder, tmp_path / "models", NewPackage("scroll"))


def test_a_package_that_is_there_is_not_written_over_and_a_failure_leaves_nothing(write_onnx, tmp_path):
    path = write_onnx(HEAD, metadata=LEFT)
    add_package(path, tmp_path / "models", NewPackage("pets"))

    with pytest.raises(PackageInvalid, match="exists already"):
        add_package(path, tmp_path / "models", NewPackage("pets"))
    with pytest.raises(PackageInvalid):
        add_package(path, tmp_path / "models", NewPackage("pets", package_id="second", architecture="papyrus"))
    assert [each.name for each in (tmp_path / "models" / "pets").iterdir()] == ["onnx-fp32"]


def test_damage_is_reported_file_by_file(write_onnx, tmp_path):
    folder = add_package(write_onnx(HEAD, metadata=LEFT), tmp_path, NewPackage("pets")).weights.parent
    assert {verdict for _, verdict in hash_report(folder)} == {"ok"}

    (folder / "class_names.txt").write_text("cat\nhound\n")
    (folder / "inference_config.json").unlink()
    (folder / "more.txt").write_text("x")

    assert dict(hash_report(folder)) == {
        "class_names.txt": "changed", "inference_config.json": "absent", "model.onnx": "ok", "more.txt": "not listed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("weights.onnx", "onnx"),
        ("model.onnx", "onnx"),
        ("net.onnx", "onnx"),
        ("engine.plan", "trt"),
        ("my.engine", "trt"),
        ("weights.torchscript", "torch-script"),
        ("weights.pth", "torch"),
        ("weights.pt", "torch"),
        ("model.pt2", "torch-export"),
    ],
)
def test_weights_are_found_by_either_spelling(write_package, name, kind):
    folder = write_package(weights=None, backend_type=kind)
    (folder / "model.onnx").rename(folder / name)

    assert read_package(folder).weights == folder / name


def test_two_files_that_could_be_the_weights_are_refused(write_package):
    folder = write_package(weights=None)
    (folder / "weights.onnx").write_bytes((folder / "model.onnx").read_bytes())

    with pytest.raises(PackageInvalid, match=r"found model\.onnx, weights\.onnx"):
        read_package(folder)


@pytest.mark.parametrize(
    ("given", "kind"),
    [("torch-script", "torch-script"), ("tensorrt", "trt"), ("ONNX", "onnx"), ("torch_export", "torch-export")],
)
def test_kinds_have_the_peers_names_too(write_package, given, kind):
    assert read_package(write_package(backend_type=given)).kind == kind


def test_a_plans_own_batch_limits_are_read(write_package):
    inference = {"network_input": {"training_input_size": {"height": 32, "width": 32}}}
    folder = write_package(backend_type="trt", inference=inference)
    (folder / "trt_config.json").write_text(json.dumps({"dynamic_batch_size_min": 1, "dynamic_batch_size_max": 16}))

    assert (read_package(folder).static_batch_size, read_package(folder).max_batch_size) == (None, 16)


def test_the_command_line_adds_shows_verifies_and_removes(write_onnx, tmp_path, monkeypatch):
    monkeypatch.setenv("NIGHTSHIFT_MODEL_DIRS", str(tmp_path / "models"))
    path, run = write_onnx(HEAD, metadata=LEFT), CliRunner().invoke

    added = run(cli, ["models", "add", str(path), "--id", "pets", "--json"], standalone_mode=False)
    listed = run(cli, ["models"], standalone_mode=False)
    shown = run(cli, ["models", "show", "pets"], standalone_mode=False)
    verified = run(cli, ["models", "verify", "pets"], standalone_mode=False)
    (tmp_path / "models" / "pets" / "onnx-fp32" / "class_names.txt").write_text("cat\nhound\n")
    damaged = run(cli, ["models", "verify", "pets"], standalone_mode=False)
    removed = run(cli, ["models", "rm", "pets", "--yes"], standalone_mode=False)

    assert json.loads(added.output)["kind"] == "onnx"
    assert "pets-onnx-fp32" in listed.output
    assert "32x32 rgb, letterbox" in shown.output
    assert (verified.return_value, damaged.return_value) == (0, 1)
    assert "changed" in damaged.output
    assert removed.exception is None
    assert not (tmp_path / "models" / "pets").exists()
