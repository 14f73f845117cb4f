"""Make the three packages from the trained weights: torch fp32, ONNX fp32, ONNX int8.

Run `python models/digits/export.py` after `train.py`. The int8 model keeps the first convolution, the fine
grid's head and the decoding in float: they cost little time, and eight bits there cost accuracy.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnx
import torch
from evaluate import HERE, SIDE, letterbox, open_package
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from safetensors.torch import load_file
from train import MODULE_ARGS

from inference_engine.backends.modules import build_module
from inference_engine.backends.modules.tinydet import STRIDES
from nightshift.pages import CLASS_NAMES, load_scans, make_page

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

OPSET = 17
CALIBRATION_PAGES = 200
#: What is quantised. Eight bits for the residual sums cost 0.08 of mAP50-95, for joins and resizing 0.04 (mAP50 kept),
#: and made the network no faster.
QUANTISED = ["Conv"]
#: What stays float besides: the first convolution, which makes the whole network 1.3 times faster (ONNX Runtime 1.31, a
#: processor with VNNI), and the fine grid's head, since eight bits there cost 0.014 of mAP50-95 and saved 0.1 ms.
FLOAT = ("/stem/stem.0/stem.0.0/Conv", "/heads.0/stem/stem.0/Conv")
INFERENCE_CONFIG: dict[str, Any] = {
    "image_pre_processing": {},
    "network_input": {
        "training_input_size": {"height": SIDE, "width": SIDE},
        "dynamic_spatial_size_supported": False,
        "color_mode": "rgb",
        "resize_mode": "letterbox",
        "padding_value": 114,
        "input_channels": 3,
        "scaling_factor": 255,
        "normalization": None,
    },
    "forward_pass": {"static_batch_size": None, "max_dynamic_batch_size": 64},
    "post_processing": {
        "type": "nms",
        "fused": False,
        "nms_parameters": {
            "max_detections": 300,
            "confidence_threshold": 0.4,
            "iou_threshold": 0.5,
            "class_agnostic": False,
        },
    },
}


class TrainPages(CalibrationDataReader):
    """Pages of the train scans, one at a time, as the network sees them."""

    def __init__(self, count: int) -> None:
        self._pages = self._draw(count)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Give the next page, or None after the last."""
        return next(self._pages, None)

    @staticmethod
    def _draw(count: int) -> Iterator[dict[str, NDArray[np.float32]]]:
        scans = load_scans("train")
        for i in range(count):
            yield {"images": letterbox(make_page(scans, np.random.default_rng([13, i])).image)[0][None]}


def to_onnx(weights: Path, target: Path) -> None:
    """Export with a batch axis of any length."""
    model = build_module("tinydet", MODULE_ARGS).eval()
    model.load_state_dict(load_file(weights))
    with warnings.catch_warnings():
        # The grid becomes a constant, as wanted; the newer exporter would need onnxscript.
        warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        torch.onnx.export(
            model,
            (torch.zeros(2, 3, SIDE, SIDE),),
            str(target),
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes={"images": {0: "batch"}, "output0": {0: "batch"}},
            opset_version=OPSET,
            dynamo=False,
        )
    state_sizes(target)


def state_sizes(path: Path) -> None:
    """Write down the output's sizes, which the exporter leaves open though only the batch is."""
    model = onnx.load(path)
    cells = sum((SIDE // stride) ** 2 for stride in STRIDES)
    dims = model.graph.output[0].type.tensor_type.shape.dim
    dims[1].dim_value, dims[2].dim_value = 4 + len(CLASS_NAMES), cells
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def decoding(graph: onnx.GraphProto) -> list[str]:
    """Name the heads' last convolutions and every node after them."""
    reached: set[str] = set()
    names = []
    for node in graph.node:
        if "/predict/" in node.name or reached.intersection(node.input):
            names.append(node.name)
            reached.update(node.output)
    return names


def to_int8(source: Path, target: Path) -> None:
    """Quantise, weights by channel; 7-bit weights, since 8 x 8 bits saturate on processors without VNNI."""
    quantize_static(
        str(source),
        str(target),
        TrainPages(CALIBRATION_PAGES),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=QUANTISED,
        nodes_to_exclude=[*FLOAT, *decoding(onnx.load(source).graph)],
        per_channel=True,
        reduce_range=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


def describe(folder: Path, backend: str, quantization: str, special: dict[str, Any]) -> None:
    """Write class names and both configurations beside the weights, with the digest of every file."""
    weights = "model.safetensors" if backend == "torch" else "model.onnx"
    (folder / "class_names.txt").write_text("\n".join(CLASS_NAMES) + "\n", encoding="utf-8")
    (folder / "inference_config.json").write_text(json.dumps(INFERENCE_CONFIG, indent=2) + "\n", encoding="utf-8")
    config = {
        "schema_version": 1,
        "model_id": "digits",
        "package_id": f"digits-{backend}-{quantization}",
        "model_architecture": "yolov8",
        "model_variant": "tinydet",
        "task_type": "object-detection",
        "backend_type": backend,
        "quantization": quantization,
        "weights": weights,
        **special,
        "files": {name: digest(folder / name) for name in (weights, "class_names.txt", "inference_config.json")},
    }
    (folder / "model_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def digest(path: Path) -> dict[str, Any]:
    """Give a file's SHA-256 and size."""
    data = path.read_bytes()
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def check(root: Path) -> None:
    """Stop unless torch and ONNX fp32 agree within 1e-3 pixels and 1e-4 of score, alone and in a batch."""
    scans = load_scans("train")
    pages = [make_page(scans, np.random.default_rng([17, i])).image for i in range(4)]
    images = np.stack([letterbox(page)[0] for page in pages])
    ours, theirs = (open_package(root / name)(images) for name in ("torch-fp32", "onnx-fp32"))
    pixels, score = np.abs(ours - theirs)[:, :4].max(), np.abs(ours - theirs)[:, 4:].max()
    print(f"torch and onnx differ by at most {pixels:.1e} pixels and {score:.1e} of score")
    if pixels > 1e-3 or score > 1e-4:
        raise SystemExit("expected at most 1e-3 pixels and 1e-4: the export is wrong")


def main() -> None:
    """Export, describe, check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=HERE / "torch-fp32" / "model.safetensors")
    parser.add_argument("--out", type=Path, default=HERE)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    torch_folder, onnx_folder, int8_folder = (args.out / n for n in ("torch-fp32", "onnx-fp32", "onnx-int8"))
    for folder in (torch_folder, onnx_folder, int8_folder):
        folder.mkdir(parents=True, exist_ok=True)
    if args.weights.resolve() != (torch_folder / "model.safetensors").resolve():
        shutil.copyfile(args.weights, torch_folder / "model.safetensors")
    to_onnx(args.weights, onnx_folder / "model.onnx")
    with tempfile.TemporaryDirectory() as scratch:
        to_int8(onnx_folder / "model.onnx", Path(scratch) / "model.onnx")
        shutil.copyfile(Path(scratch) / "model.onnx", int8_folder / "model.onnx")
    describe(torch_folder, "torch", "fp32", {"module": {"name": "tinydet", "args": MODULE_ARGS}})
    describe(onnx_folder, "onnx", "fp32", {"onnx": {"opset": OPSET}})
    describe(int8_folder, "onnx", "int8", {"onnx": {"opset": OPSET}})
    check(args.out)


if __name__ == "__main__":
    main()
