"""Packages and ONNX files that tests make for themselves."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.packages import ModelPackage
from inference_engine.providers import ProviderOptions
from inference_engine.testing_server import ModelServer
from inference_engine.transport import Limits

INFERENCE = {
    "network_input": {"training_input_size": {"height": 32, "width": 32}, "padding_value": 114, "scaling_factor": 255},
    "forward_pass": {"static_batch_size": None, "max_dynamic_batch_size": 8},
    "post_processing": {"type": "nms", "fused": False, "nms_parameters": {"confidence_threshold": 0.25}},
}


def detector_model(head, *, batch="n", hw=(32, 32), metadata=None, channels=3, dtype=TensorProto.FLOAT):
    """An ONNX detector that answers every picture with `head`, `(rows, anchors)`."""
    head = np.asarray(head, np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["flat"]),
        helper.make_node("Mul", ["flat", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "head"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", dtype, [batch, channels, *hw])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, [batch, *head.shape])],
        [
            numpy_helper.from_array(head[None], "head"),
            numpy_helper.from_array(np.array([3], np.int64), "last"),
            numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    return model


@pytest.fixture
def write_onnx(tmp_path):
    def write(head, name="model.onnx", **options):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save(detector_model(head, **options), path)
        return path

    return write


@pytest.fixture
def write_package(tmp_path):
    """A function that writes a package folder; keywords change its `model_config.json`."""

    def write(folder="model/onnx", *, names="cat\ndog\n", inference=None, head=None, **changes):
        where = tmp_path / folder
        where.mkdir(parents=True, exist_ok=True)
        onnx.save(detector_model(np.zeros((6, 4)) if head is None else head), where / "model.onnx")
        (where / "class_names.txt").write_text(names, encoding="utf-8")
        (where / "inference_config.json").write_text(json.dumps(inference or INFERENCE), encoding="utf-8")
        config = {
            "model_architecture": "yolov8",
            "task_type": "object-detection",
            "backend_type": "onnx",
            "quantization": "fp32",
            "weights": "model.onnx",
        } | changes
        (where / "model_config.json").write_text(json.dumps(config), encoding="utf-8")
        return where

    return write


@pytest.fixture(scope="session")
def make_package():
    """A function that makes a package as data, with no files behind it."""

    def make(package_id="onnx", **changes):
        fields = {
            "package_id": package_id,
            "model_id": "m",
            "kind": "onnx",
            "architecture": "yolov8",
            "family": "yolo",
            "task": "object-detection",
            "weights": Path("model.onnx"),
            "quantization": "fp32",
            "class_names": ("cat", "dog"),
            "config": InferenceConfig(NetworkInput((32, 32)), max_batch_size=8),
            "digest": "0" * 64,
        }
        return ModelPackage(**fields | changes)

    return make


@pytest.fixture
def server():
    with ModelServer() as running:
        yield running


@pytest.fixture
def serve_model(server, write_package):
    """A function that serves a detector as Roboflow does, and gives its entry of `modelPackages`."""

    def serve(model_id="pets/1", package_id="abc", *, extra=(), place="", **package):
        folder = write_package(f"served/{package_id}")
        names = {"weights.onnx": "model.onnx", "class_names.txt": "class_names.txt"}
        names["inference_config.json"] = "inference_config.json"
        for name, local in names.items():
            server.add_file(f"/{place or package_id}/{name}", (folder / local).read_bytes())
        files = {name: f"/{place or package_id}/{name}" for name in names}
        entry = server.onnx_package(package_id, files, **package)
        server.add_model(model_id, [entry, *extra])
        return entry

    return serve


@pytest.fixture
def remote(server, tmp_path):
    """A function that gives the options to ask the server with."""

    def make(**changes):
        limits = Limits(wait_s=0.01, max_wait_s=0.05, connect_s=5, read_s=10, attempts=4)
        fields = {"hosts": {"roboflow": server.url}, "cache_dir": tmp_path / "cache", "limits": limits}
        return ProviderOptions(**fields | changes)

    return make
