"""An ONNX detector of a real one's weight, made from a seed: YOLO-like stack and head, no training.

Its scores are scaled on some generated pictures so that a few of them pass the threshold: a
random network has an opinion too, and a lower precision must not change it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from inference_engine.images import to_network
from inference_engine.inference_config import NetworkInput
from inference_engine.samples import generated_images

SIDE, CLASSES = 640, 8
#: (channels, stride of the first convolution, convolutions) of each stage; heads sit on the last two.
STAGES = ((16, 2, 1), (32, 2, 1), (64, 2, 5), (128, 2, 6))
CONFIDENCE, SHARE = 0.4, 0.0005
_NETWORK = {
    "training_input_size": {"height": SIDE, "width": SIDE},
    "resize_mode": "letterbox",
    "padding_value": 114,
    "scaling_factor": 255,
}
_DYNAMIC = {
    "dynamic_spatial_size_supported": True,
    "dynamic_spatial_size_mode": {"type": "pad-to-be-divisible", "value": 32},
}


@dataclass
class Graph:
    """Nodes and weights as they are added; `flop` counts two for a multiplication with its addition.

    Attributes:
        is_dynamic: height and width are free, and the head makes its grid from its input, as dynamic exports do.
    """

    rng: np.random.Generator
    is_dynamic: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    flop: float = 0.0

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        """Add a node with one output, and give its name."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, value: npt.ArrayLike, dtype: type = np.float32) -> str:
        """Add a constant, and give its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def conv(self, x: str, shape: tuple[int, int, int], stride: int, side: int) -> str:
        """Add a convolution to `side` x `side`; `shape` is outputs, inputs, kernel. Weights keep the variance (He)."""
        outputs, inputs, kernel = shape
        scale = np.sqrt(2.0 / (inputs * kernel**2))
        value = self.rng.normal(0, scale, (outputs, inputs, kernel, kernel))
        self.flop += 2.0 * side**2 * value.size
        pads = [kernel // 2] * 4
        return self.add("Conv", x, self.weight(value), strides=[stride] * 2, pads=pads, kernel_shape=[kernel] * 2)

    def silu(self, x: str) -> str:
        """YOLO's activation."""
        return self.add("Mul", x, self.add("Sigmoid", x))


def write_detector(folder: Path, seed: int = 3, *, is_dynamic: bool = False) -> float:
    """Write a package and give its GFLOP a picture.

    Args:
        is_dynamic: it takes any height and width that 32 divides.
    """
    raw, _ = _build(seed, None, is_dynamic=is_dynamic)
    logits = _run(raw)[:, 4:]
    mean, spread = logits.mean(axis=(0, 2)), logits.std(axis=(0, 2)) + 1e-6
    # A share of all scores gets past the threshold in the middling picture.
    high = float(np.median(np.quantile((logits - mean[:, None]) / spread[:, None], 1 - SHARE, axis=(1, 2))))
    shift = -mean / spread - high + np.log(CONFIDENCE / (1 - CONFIDENCE))
    model, flop = _build(seed, (1 / spread, shift), is_dynamic=is_dynamic)
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    (folder / "class_names.txt").write_text("".join(f"thing-{index}\n" for index in range(CLASSES)), encoding="utf-8")
    files = {
        "model_config.json": {
            "model_architecture": "yolov8",
            "task_type": "object-detection",
            "backend_type": "onnx",
            "quantization": "fp32",
            "weights": "model.onnx",
            "onnx": {"opset": 17},
        },
        "inference_config.json": {
            "network_input": _NETWORK | (_DYNAMIC if is_dynamic else {}),
            "forward_pass": {"static_batch_size": None, "max_dynamic_batch_size": 32},
            "post_processing": {
                "type": "nms",
                "fused": False,
                "nms_parameters": {"confidence_threshold": CONFIDENCE, "iou_threshold": 0.5},
            },
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
    return flop / 1e9


def _build(
    seed: int, scores: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None, *, is_dynamic: bool
) -> tuple[onnx.ModelProto, float]:
    """The network; without the scaling of its scores they come out as they are."""
    graph = Graph(np.random.default_rng(seed), is_dynamic)
    x, side, inputs, maps = "images", SIDE, 3, []
    for channels, stride, count in STAGES:
        for index in range(count):
            side //= stride if index == 0 else 1
            y = graph.silu(graph.conv(x, (channels, inputs, 3), stride if index == 0 else 1, side))
            # Half of the sum keeps the variance of a residual stack where it is.
            x = y if index == 0 else graph.add("Mul", graph.add("Add", x, y), graph.weight(0.7))
            inputs = channels
        maps.append((x, channels, side))
    heads = [_head(graph, *features) for features in maps[-2:]]
    rows = graph.add("Concat", *heads, axis=2)
    boxes, logits = (_slice(graph, rows, start, end) for start, end in ((0, 4), (4, 4 + CLASSES)))
    if scores is not None:
        scale, shift = (graph.weight(value[None, :, None]) for value in scores)
        logits = graph.add("Sigmoid", graph.add("Add", graph.add("Mul", logits, scale), shift))
    graph.nodes.append(helper.make_node("Concat", [boxes, logits], ["output0"], axis=1))
    sides = ("height", "width") if is_dynamic else (SIDE, SIDE)
    made = helper.make_graph(
        graph.nodes,
        "seeded",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, *sides])],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, ["n", 4 + CLASSES, None])],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, graph.flop


def _head(graph: Graph, x: str, channels: int, side: int) -> str:
    """`(n, 4 + classes, cells)`: centres near their cells, sides of 6 to 10 strides, raw scores."""
    stride = SIDE // side
    hidden = graph.silu(graph.conv(x, (channels, channels, 1), 1, side))
    raw = graph.conv(hidden, (4 + CLASSES, channels, 1), 1, side)
    rows = graph.add("Reshape", raw, graph.weight([0, 4 + CLASSES, -1], np.int64))
    free = graph.add("Sigmoid", _slice(graph, rows, 0, 4))
    factor = np.array([1, 1, 4, 4], np.float32)[None, :, None] * stride
    grid = _grid(graph, raw) if graph.is_dynamic else graph.weight(_cells(side)[None])
    base = graph.add("Mul", grid, graph.weight(stride))
    boxes = graph.add("Add", graph.add("Mul", free, graph.weight(factor)), base)
    return graph.add("Concat", boxes, _slice(graph, rows, 4, 4 + CLASSES), axis=1)


def _cells(side: int) -> npt.NDArray[np.float64]:
    """`(4, cells)`: column, row, and 6 for both sides of a box."""
    y, x = np.mgrid[:side, :side].reshape(2, -1) + 0.0
    return np.stack([x, y, np.full_like(x, 6), np.full_like(x, 6)])


def _grid(graph: Graph, raw: str) -> str:
    """`_cells` for whatever height and width `raw (n, rows, height, width)` has."""
    shape = graph.add("Shape", raw, start=2)
    flat = graph.weight([1, 1, -1], np.int64)
    axes = []
    for axis in (3, 2):
        count = graph.add("Squeeze", graph.add("Shape", raw, start=axis, end=axis + 1))
        places = graph.add("Range", graph.weight(0, np.int64), count, graph.weight(1, np.int64))
        line = graph.add(
            "Unsqueeze", graph.add("Cast", places, to=TensorProto.FLOAT), graph.weight([3 - axis], np.int64)
        )
        axes.append(graph.add("Reshape", graph.add("Expand", line, shape), flat))
    size = graph.add("Add", graph.add("Mul", axes[0], graph.weight(0)), graph.weight(6))
    return graph.add("Concat", *axes, size, size, axis=1)


def _slice(graph: Graph, x: str, start: int, end: int) -> str:
    bounds = [graph.weight([value], np.int64) for value in (start, end, 1)]
    return graph.add("Slice", x, *bounds)


def _run(model: onnx.ModelProto) -> npt.NDArray[np.float32]:
    network = NetworkInput(hw=(SIDE, SIDE), padding_value=114, scaling_factor=255.0)
    pictures = generated_images(8, (480, 640), seed=2)
    batch = np.concatenate([to_network(picture, network)[0] for picture in pictures])
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {"images": batch})[0]
    return found
