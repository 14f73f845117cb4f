"""Bare YOLO exports of the other tasks: what their metadata says becomes a package, and add_package writes it down."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from inference_engine import AutoModel
from inference_engine.errors import PackageInvalid
from inference_engine.exported_onnx import package_from_onnx
from inference_engine.images import plan_fit, to_network
from inference_engine.network_input import NetworkInput, ResizeMode
from inference_engine.package_writer import NewPackage, add_package
from tests.fixtures.detector_heads import CLASSES, SIDE, objectness, plain, rows

OBJECTS = [(8, 16, 28, 40, 0, 0.9), (40, 20, 56, 44, 2, 0.5)]
LEFT = {"names": str(dict(enumerate(CLASSES))), "imgsz": "[64, 64]", "stride": "32"}
SEGMENT, POSE, TURNED = "instance-segmentation", "keypoint-detection", "oriented-object-detection"
EXPORTS = {
    "segment": ({"task": "segment"}, plain, SEGMENT),
    "segment end to end": ({"task": "segment", "end2end": "True"}, rows, SEGMENT),
    "segment of YOLOv5": ({"task": "segment"}, objectness, SEGMENT),
    "pose": ({"task": "pose", "kpt_shape": "[2, 3]", "kpt_names": "{0: ['nose', 'tail']}"}, plain, POSE),
    "pose with NMS": ({"task": "pose", "kpt_shape": "[2, 3]", "args": "{'nms': True}"}, rows, POSE),
    "obb": ({"task": "obb"}, plain, TURNED),
    "obb end to end": ({"task": "obb", "end2end": "True"}, rows, TURNED),
}


def save(path, outputs, metadata):
    """An ONNX file that answers every picture with these outputs of one image."""
    arrays = {name: np.asarray(value, np.float32) for name, value in outputs.items()}
    nodes, weights = [helper.make_node("Shape", ["images"], ["shape"], start=0, end=1)], []
    for name, value in arrays.items():
        weights.append(numpy_helper.from_array(value[None], f"{name}_one"))
        weights.append(numpy_helper.from_array(np.ones(value.ndim, np.int64), f"{name}_ones"))
        nodes.append(helper.make_node("Concat", ["shape", f"{name}_ones"], [f"{name}_many"], axis=0))
        nodes.append(helper.make_node("Expand", [f"{name}_one", f"{name}_many"], [name]))
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
    infos = [helper.make_tensor_value_info(k, TensorProto.FLOAT, ["n", *v.shape]) for k, v in arrays.items()]
    graph = helper.make_graph(nodes, "network", [image], infos, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("name", EXPORTS)
def test_an_export_runs_bare_and_as_a_package_alike(tmp_path, name):
    metadata, encode, task = EXPORTS[name]
    path = save(tmp_path / "bare.onnx", encode(OBJECTS, task), LEFT | metadata)

    bare = AutoModel.from_pretrained(path)
    added = AutoModel.from_pretrained(add_package(path, tmp_path / "models", NewPackage("m")).weights.parent)

    picture = np.zeros((64, 64, 3), np.uint8)
    (found,) = bare(picture, confidence=0.3)
    assert bare.package.task == task
    np.testing.assert_allclose(found.xyxy, [found_at[:4] for found_at in OBJECTS], atol=1e-4)
    assert found.names == ["cat", "bird"]
    assert added(picture, confidence=0.3) == [found]
    assert added.package.skeletons == bare.package.skeletons


def test_key_points_have_the_names_that_the_exporter_left_or_numbers(tmp_path):
    named, plainly = (
        package_from_onnx(save(tmp_path / f"{index}.onnx", plain(OBJECTS, POSE), LEFT | metadata))
        for index, metadata in enumerate((EXPORTS["pose"][0], {"task": "pose", "kpt_shape": "[2, 3]"}))
    )

    assert named.skeletons[2].names == ("nose", "tail")
    assert plainly.skeletons[0].names == ("0", "1")


@pytest.mark.parametrize("shape", [None, "[2, 2]", "[2]", "'x'", "[0, 3]"])
def test_key_points_without_their_number_or_confidence_are_refused(tmp_path, shape):
    metadata = LEFT | {"task": "pose"} | ({"kpt_shape": shape} if shape else {})

    with pytest.raises(PackageInvalid, match="kpt_shape"):
        package_from_onnx(save(tmp_path / "bare.onnx", plain(OBJECTS, POSE), metadata))


@pytest.mark.parametrize(
    ("task", "outputs", "message"),
    [
        ("segment", {"output0": np.zeros((8, 84))}, "expected prototypes"),
        ("obb", {"output0": np.zeros((7, 84))}, r"expected \(n, 8, anchors\) for 3 classes"),
        ("classify", {"output0": np.zeros(4)}, r"expected \(n, 3\)"),
    ],
)
def test_a_head_that_is_not_its_tasks_is_refused(tmp_path, task, outputs, message):
    with pytest.raises(PackageInvalid, match=message):
        package_from_onnx(save(tmp_path / "bare.onnx", outputs, LEFT | {"task": task}))


def test_a_classifier_gives_its_scores_as_they_are(tmp_path):
    path = save(tmp_path / "bare.onnx", {"output0": np.asarray([0.2, 0.7, 0.1])}, LEFT | {"task": "classify"})
    picture = np.zeros((100, 300, 3), np.uint8)

    bare = AutoModel.from_pretrained(path)
    added = AutoModel.from_pretrained(add_package(path, tmp_path / "models", NewPackage("m")).weights.parent)

    (found,) = bare(picture, max_classes=3, confidence=0)
    assert (found.class_id.tolist(), float(found.confidence[0])) == ([1, 0, 2], np.float32(0.7))
    assert added(picture, max_classes=3, confidence=0) == [found]
    assert added.package.config == bare.package.config


@pytest.mark.parametrize("hw", [(100, 300), (300, 100), (64, 64), (30, 41), (201, 203)])
def test_a_classifiers_picture_is_resized_by_its_short_edge_and_cut_in_the_middle(hw):
    network = NetworkInput((SIDE, SIDE), ResizeMode.SHORT_EDGE_CROP, antialias=True)
    picture = np.random.default_rng(6).integers(0, 256, (*hw, 3), dtype=np.uint8)

    planes, fit = to_network(picture, network)

    # torchvision's Resize(64) and CenterCrop(64) of a Pillow picture, as its documentation says them.
    short, long = sorted(hw)
    size = (64, int(64 * long / short)) if hw[0] <= hw[1] else (int(64 * long / short), 64)
    resized = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BILINEAR))
    top, left = (round((side - 64) / 2) for side in size)
    expected = resized[top : top + 64, left : left + 64].transpose(2, 0, 1).astype(np.float32) / 255
    np.testing.assert_allclose(planes[0], expected, atol=1e-6)
    assert plan_fit(hw, network)[0] == fit
    assert fit.pad_xy == (-left, -top)
