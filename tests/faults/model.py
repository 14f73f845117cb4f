"""A model whose answer is a function of the picture, and pictures that all differ: any mix-up shows in the records."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 16


def write_model(folder: Path) -> Path:
    """One box a picture: its score and its place come from the picture's mean colour."""
    folder.mkdir(parents=True)
    pick = np.array([[0, 0, 0], [0, 0, 0], [0, 4, 0], [0, 0, 4], [0.5, 0, 0]], dtype=np.float32)
    offset = np.array([8, 8, 4, 4, 0.5], dtype=np.float32).reshape(5, 1)
    nodes = [
        helper.make_node("ReduceMean", ["images", "axes"], ["mean"], keepdims=0),  # (n, 3), 0 to 1
        helper.make_node("MatMul", ["mean", "pick"], ["row"]),
        helper.make_node("Unsqueeze", ["row", "last"], ["column"]),
        helper.make_node("Add", ["column", "offset"], ["output0"]),  # (n, 5, 1): one anchor, one class
    ]
    constants = {"axes": np.array([2, 3]), "pick": pick.T, "last": np.array([2]), "offset": offset}
    graph = helper.make_graph(
        nodes,
        "colours",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 5, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    network = {"training_input_size": {"height": SIDE, "width": SIDE}, "resize_mode": "stretch", "scaling_factor": 255}
    _write(folder / "inference_config.json", {"network_input": network, "forward_pass": {"max_dynamic_batch_size": 8}})
    config = {"model_architecture": "yolov8", "task_type": "object-detection", "backend_type": "onnx"}
    _write(folder / "model_config.json", config | {"quantization": "fp32"})
    (folder / "class_names.txt").write_text("colour\n", encoding="utf-8")
    return folder


def write_pictures(folder: Path, count: int) -> list[Path]:
    """Pictures of one colour each, no two of the same."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in range(count):
        pixel = np.array([index % 256, index // 256 % 256, (index * 7) % 256], dtype=np.uint8)
        file = folder / f"picture_{index:05d}.png"
        cv2.imwrite(str(file), np.broadcast_to(pixel, (SIDE, SIDE, 3)).copy())
        files.append(file)
    return files


def expected_record(index: int) -> dict[str, list[float]]:
    """Score and box of picture `index`, by arithmetic of its own: BGR as written, network in RGB."""
    blue, green, red = (index % 256) / 255, (index // 256 % 256) / 255, ((index * 7) % 256) / 255
    width, height = 4 + 4 * green, 4 + 4 * blue
    box = [8 - width / 2, 8 - height / 2, 8 + width / 2, 8 + height / 2]
    return {"confidence": [0.5 + 0.5 * red], "xyxy": box}


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content), encoding="utf-8")
