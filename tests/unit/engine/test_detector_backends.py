"""Every head as a package: ONNX Runtime and OpenVINO, and TorchScript where its exporter writes one, agree."""

import json
import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference_engine import AutoModel
from inference_engine.errors import SessionFailed
from inference_engine.sessions import SessionOptions
from tests.fixtures.detector_heads import CLASSES, HEADS, POINTS, SIDE

OBJECTS = [(8, 16, 28, 40, 0, 0.9), (8, 20, 28, 40, 1, 0.7), (40, 20, 56, 44, 2, 0.5)]
PICTURES = [np.full((*hw, 3), grey, np.uint8) for hw, grey in (((96, 128), 0), ((50, 50), 200), ((64, 32), 90))]
INPUT = {"training_input_size": {"height": SIDE, "width": SIDE}, "padding_value": 114, "scaling_factor": 255}


def arrays(name):
    """Outputs of one image as a network gives them."""
    found = HEADS[name].encode(OBJECTS, HEADS[name].task)
    return {k: v.astype(np.float32) if v.dtype.kind == "f" else v for k, v in found.items()}


def network(name):
    """An ONNX network that answers every picture alike, boxes scaled where it is told sizes."""
    outputs, head = arrays(name), HEADS[name]
    types = {"f": TensorProto.FLOAT, "i": TensorProto.INT64}
    nodes, weights = [helper.make_node("Shape", ["images"], ["shape"], start=0, end=1)], []
    for key, value in outputs.items():
        kind = "i" if value.dtype.kind == "i" else "f"
        constant = value.astype(np.int64 if kind == "i" else np.float32)
        if head.sizes and key == "boxes":
            constant = constant / np.float32(SIDE)
        weights.append(numpy_helper.from_array(constant[None], f"{key}_one"))
        weights.append(numpy_helper.from_array(np.asarray([1] * constant.ndim, np.int64), f"{key}_ones"))
        nodes += [
            helper.make_node("Concat", ["shape", f"{key}_ones"], [f"{key}_many"], axis=0),
            helper.make_node("Expand", [f"{key}_one", f"{key}_many"], [f"{key}_all" if head.sizes else key]),
        ]
        if head.sizes and key == "boxes":
            weights.append(numpy_helper.from_array(np.asarray([1], np.int64), "middle"))
            nodes += [
                helper.make_node("Cast", ["orig_target_sizes"], ["sizes"], to=TensorProto.FLOAT),
                helper.make_node("Concat", ["sizes", "sizes"], ["twice"], axis=1),
                helper.make_node("Unsqueeze", ["twice", "middle"], ["scale"]),
                helper.make_node("Mul", ["boxes_all", "scale"], ["boxes"]),
            ]
        elif head.sizes:
            nodes.append(helper.make_node("Identity", [f"{key}_all"], [key]))
    inputs = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])]
    if head.sizes:
        inputs.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, ["n", 2]))
    infos = [
        helper.make_tensor_value_info(k, types["i" if v.dtype.kind == "i" else "f"], ["n", *v.shape])
        for k, v in outputs.items()
    ]
    graph = helper.make_graph(nodes, "detector", inputs, infos, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save_script(name, path):
    import torch

    class Constant(torch.nn.Module):
        def forward(self, images):
            return tuple(one.expand(images.shape[0], *one.shape[1:]) + 0 for one in found)

    found = [torch.from_numpy(value[None]) for value in arrays(name).values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch says that TorchScript is deprecated; packages of it exist
        torch.jit.save(torch.jit.trace(Constant(), torch.rand(2, 3, SIDE, SIDE)), path)


@pytest.fixture
def write(write_package):
    """A function that writes a head as a package of a kind."""

    def made(name, kind):
        head = HEADS[name]
        weights = {"onnx": "model.onnx", "torch-script": "model.torchscript"}[kind]
        post = {"type": "nms", "nms_parameters": {"confidence_threshold": 0.3}}
        inference = {"network_input": INPUT, "post_processing": post | ({"fused": True} if head.is_fused else {})}
        if head.architecture in ("yolov10", "yolo26"):
            inference["post_processing"] = post  # their head is end-to-end without a word
        folder = write_package(
            f"{kind}/{name.replace(' ', '-')}",
            names="".join(f"{each}\n" for each in CLASSES),
            inference=json.loads(json.dumps(inference)),
            task_type=head.task,
            model_architecture=head.architecture,
            backend_type=kind,
            weights=weights,
        )
        (folder / "model.onnx").unlink()
        if head.task == "keypoint-detection":
            points = {str(number): each for number, each in enumerate(POINTS)}
            entries = [{"object_class_id": index, "keypoints": points} for index in range(len(CLASSES))]
            (folder / "keypoints_metadata.json").write_text(json.dumps(entries), encoding="utf-8")
        if kind == "onnx":
            onnx.save(network(name), folder / weights)
        else:
            save_script(name, folder / weights)
        return folder

    return made


def predictions(folder, backend):
    trust = {"trust": True} if backend == "torch" else {}
    model = AutoModel.from_pretrained(folder, backend=backend, options=SessionOptions(threads=1), **trust)
    together, alone = model(PICTURES), [model(picture)[0] for picture in PICTURES]
    model.close()
    assert together == alone
    return together


@pytest.mark.parametrize("name", HEADS)
def test_every_backend_finds_the_same_objects_in_a_batch_and_alone(write, name):
    folder = write(name, "onnx")

    reference = predictions(folder, "onnx")

    assert [len(each) for each in reference] == [3, 3, 3]
    assert predictions(folder, "openvino") == reference
    # A picture of the network's own proportions fills it: its boxes are the head's, enlarged.
    square = np.asarray([[8, 16, 28, 40], [8, 20, 28, 40], [40, 20, 56, 44]]) * 50 / SIDE
    np.testing.assert_allclose(reference[1].xyxy, square, atol=1e-4)


@pytest.mark.parametrize("name", [name for name, head in HEADS.items() if not head.sizes])
def test_an_archive_of_torch_finds_what_the_onnx_file_does(write, name):
    found = predictions(write(name, "torch-script"), "torch")

    assert found == predictions(write(name, "onnx"), "onnx")


def test_a_network_without_the_input_for_sizes_is_refused_with_both_lists(write):
    model = AutoModel.from_pretrained(write("rt-detr", "torch-script"), backend="torch", trust=True)

    with pytest.raises(SessionFailed, match="inputs images; family detr_exports makes images, orig_target_sizes"):
        model(PICTURES[0])
