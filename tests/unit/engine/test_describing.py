from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from inference_engine.auto import AutoModel
from inference_engine.describing import (
    RuntimeDescription,
    describe_model,
    describe_model_package,
    describe_models,
    describe_runtime,
    list_backends,
)
from inference_engine.enums import BackendType, ColorFormat, Quantization
from inference_engine.errors import ModelNotFound, PackageInvalid
from inference_engine.interfaces import ObjectDetectionModel
from inference_engine.loading import decide, open_decided
from inference_engine.machine import Gpu, probe_machine
from inference_engine.negotiation import BACKEND_ORDER, Wishes
from inference_engine.sessions import SessionOptions

MODELS = [Path(__file__).parents[3] / "models"]


def test_a_model_is_described_as_data_with_every_package():
    found = describe_model("digits", model_dirs=MODELS)

    assert [package.package_id for package in found.packages] == [
        "digits-onnx-fp32",
        "digits-onnx-int8",
        "digits-torch-fp32",
    ]
    assert {package.input_hw for package in found.packages} == {(320, 320)}
    assert all(package.size_bytes > 100_000 and len(package.digest) == 64 for package in found.packages)


def test_the_description_prints_well():
    assert "digits-onnx-int8: onnx int8, yolov8, object-detection, 10 classes" in str(
        describe_model("digits", model_dirs=MODELS)
    )


def test_one_package_is_found_by_its_id_and_a_wrong_id_names_the_right_ones():
    assert describe_model_package("digits", "digits-onnx-int8", model_dirs=MODELS).quantization == "int8"
    with pytest.raises(ModelNotFound, match="it has digits-onnx-fp32, digits-onnx-int8, digits-torch-fp32"):
        describe_model_package("digits", "nope", model_dirs=MODELS)


def test_every_model_below_the_folders_is_described():
    assert "digits" in [model.model_id for model in describe_models(MODELS)]


def test_describing_gives_data_that_a_program_can_use():
    """The peer library prints a table and returns None (its defect 10)."""
    found = AutoModel.describe_model("digits", model_dirs=MODELS)

    smallest = min(found.packages, key=lambda package: package.size_bytes)
    assert (smallest.quantization, smallest.source, smallest.needs_trust) == ("int8", "local", False)
    assert smallest.files["class_names.txt"] == 20
    assert sum(smallest.files.values()) == smallest.size_bytes


def test_a_providers_model_is_described_without_fetching_anything(serve_model, server, remote):
    serve_model(model_id="pets/1", package_id="abc")

    found = AutoModel.describe_model("rf://pets/1", provider_options=remote())
    package = AutoModel.describe_model_package("rf://pets/1", "abc", provider_options=remote())

    assert found.packages == (package,)
    assert (package.source, package.kind, package.input_hw, package.classes) == ("roboflow", "onnx", None, None)
    assert set(package.files) == {"weights.onnx", "class_names.txt", "inference_config.json"}
    assert "from roboflow" in str(package)
    assert not server.asked("/abc/weights.onnx")


def test_a_package_that_can_run_code_is_described_as_such_and_needs_no_input():
    example = Path(__file__).parents[3] / "examples" / "custom_package"

    (found,) = describe_model(str(example)).packages

    assert (found.kind, found.input_hw, found.classes, found.needs_trust) == ("custom-code", None, None, True)
    assert str(found).endswith("needs trust")


def test_a_broken_package_is_described_with_its_reason(write_package, tmp_path):
    write_package("pets/whole")
    write_package("pets/broken", schema_version=9)

    assert "broken: cannot be used: " in str(describe_model(str(tmp_path / "pets")))
    with pytest.raises(PackageInvalid, match="schema_version 9"):
        describe_model_package(str(tmp_path / "pets"), "broken")


def test_a_model_that_cannot_be_used_does_not_hide_the_others(write_package, tmp_path):
    write_package("models/pets/whole")
    write_package("models/birds/broken", schema_version=9)

    found = describe_models([tmp_path / "models"])

    assert [(model.model_id, len(model.packages)) for model in found] == [("birds", 0), ("pets", 1)]
    assert "birds: 0 packages\n  all packages: cannot be used: " in str(found)
    assert str(describe_models([])) == "none"


def test_backends_are_listed_in_their_order_with_what_is_in_the_way():
    found = list_backends()

    assert [backend.name for backend in found] == list(BACKEND_ORDER)
    for backend in found:
        assert backend.is_usable == bool(backend.devices)
        assert str(backend) in str(found)
    trt = found[0]
    assert trt.opens == ("trt",)
    assert "tensorrt is not installed" in trt.problem


#: Says what `describe_runtime` finds where importing any runtime raises.
_DESCRIBE = (
    "import json; from inference_engine import AutoModel; r = AutoModel.describe_runtime(); print(json.dumps(str(r)))"
)


@pytest.mark.parametrize("fault", ["RuntimeError('operator torchvision::nms does not exist')", "OSError('libcudart')"])
def test_broken_runtimes_do_not_break_the_description(tmp_path, fault):
    """The peer library's description raises where torchvision does not import (its defect 12)."""
    for name in ("torch", "torchvision", "onnxruntime", "openvino", "tensorrt", "transformers"):
        (tmp_path / f"{name}.py").write_text(f"raise {fault}\n")
        info = tmp_path / f"{name}-99.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\n", encoding="utf-8")  # no version: damaged as well
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    done = subprocess.run(
        [sys.executable, "-c", _DESCRIBE], check=True, capture_output=True, text=True, env={"PYTHONPATH": paths}
    )

    told = json.loads(done.stdout)
    assert all(f"{name}: " in told for name in BACKEND_ORDER)
    assert "onnx: unknown on cpu" in told


def test_the_runtime_description_names_cpu_gpu_and_every_backend():
    here = describe_runtime()

    assert set(here.offers) <= set(BackendType)
    assert f"{here.machine.cpu_count} cores" in str(here)
    gpu = replace(probe_machine(), gpus=(Gpu(0, "H200", "9.0", 1 << 37),), driver_version="580.1", cuda_version="13.0")
    assert "GPU: H200 (sm90); driver 580.1, CUDA 13.0" in str(RuntimeDescription(gpu, {}))


def test_the_enums_are_texts_and_cover_the_order():
    assert {*BACKEND_ORDER} <= {*BackendType}
    assert (Quantization.INT8, ColorFormat.BGR) == ("int8", "bgr")


def test_an_open_detector_has_the_detectors_interface():
    decision = decide("digits", Wishes(backend="onnx"), model_dirs=MODELS)
    model = open_decided(decision, SessionOptions())

    assert isinstance(model, ObjectDetectionModel)
    model.close()


def test_auto_model_describes_with_paths_as_texts():
    folders = [str(MODELS[0])]

    assert AutoModel.describe_model("digits", model_dirs=folders).model_id == "digits"
    assert AutoModel.describe_model_package("digits", "digits-onnx-fp32", model_dirs=folders).kind == "onnx"
    assert "digits" in [model.model_id for model in AutoModel.list_models(folders)]
    assert AutoModel.describe_runtime().machine == probe_machine()
    assert AutoModel.explain("digits", model_dirs=folders, backend="onnx").chosen.backend == "onnx"
