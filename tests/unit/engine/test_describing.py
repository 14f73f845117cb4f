from __future__ import annotations

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
)
from inference_engine.enums import BackendType, ColorFormat, Quantization
from inference_engine.errors import ModelNotFound
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
