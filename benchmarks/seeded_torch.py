"""The detector of `tinydet` in a real one's weight, from a seed, as a PyTorch and an ONNX package of one model."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from inference_engine.backends.modules import build_module
from inference_engine.images import to_network
from inference_engine.network_input import NetworkInput
from inference_engine.samples import generated_images

CLASSES, CONFIDENCE, SHARE = 8, 0.4, 0.001
#: At 640 x 640 this width makes 7 GFLOP.
WIDTH, SIDE, MOST = 32, 640, 256


def write_packages(folder: Path, *, width: int = WIDTH, side: int = SIDE, seed: int = 3) -> float:
    """Write `torch-fp32` and `onnx-fp32` below a folder, and give the model's GFLOP a picture."""
    torch.manual_seed(seed)
    arguments = {"num_classes": CLASSES, "width": width}
    module = build_module("tinydet", arguments).eval()
    example = torch.zeros(2, 3, side, side)
    _spread_scores(module, side)
    described = {"module": {"name": "tinydet", "args": arguments}}
    for kind, name, facts in (("torch", "model.safetensors", described), ("onnx", "model.onnx", {})):
        _write_facts(folder / f"{kind}-fp32", kind, name, facts, side)
    save_file(module.state_dict(), folder / "torch-fp32" / "model.safetensors")
    with warnings.catch_warnings():
        # The grid becomes a constant, as wanted; the newer exporter would need onnxscript.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(folder / "onnx-fp32" / "model.onnx"),
            input_names=["images"],
            output_names=["output0"],
            dynamic_axes={"images": {0: "n"}, "output0": {0: "n"}},
            opset_version=17,
            dynamo=False,
        )
    return _gflop(module, example[:1])


def _spread_scores(module: Any, side: int) -> None:
    """Scale the class logits so that a share of them passes the threshold: random ones would all be alike."""
    network = NetworkInput((side, side), padding_value=114, scaling_factor=255.0)
    pictures = generated_images(4, (480, 640), seed=2)
    images = torch.from_numpy(np.concatenate([to_network(picture, network)[0] for picture in pictures]))
    with torch.inference_mode():
        raised = []
        for head, features in zip(module.heads, _features(module, images), strict=True):
            logits = head(features)[:, 4:]
            mean, spread = logits.mean((0, 2)), logits.std((0, 2)) + 1e-6
            high = float(torch.quantile(((logits - mean[:, None]) / spread[:, None]).flatten()[:1_000_000], 1 - SHARE))
            raised.append((1 / spread, -mean / spread - high + float(np.log(CONFIDENCE / (1 - CONFIDENCE)))))
        for head, (scale, shift) in zip(module.heads, raised, strict=True):
            head.predict.weight[4:] *= scale[:, None, None, None]
            head.predict.bias[4:] = head.predict.bias[4:] * scale + shift


def _features(module: Any, images: torch.Tensor) -> list[torch.Tensor]:
    """What each head takes, caught as it passes."""
    caught: dict[int, torch.Tensor] = {}
    hooks = [
        head.register_forward_pre_hook(lambda _, inputs, index=index: caught.__setitem__(index, inputs[0]))
        for index, head in enumerate(module.heads)
    ]
    module(images)
    for hook in hooks:
        hook.remove()
    return [caught[index] for index in range(len(caught))]


def _gflop(module: nn.Module, example: torch.Tensor) -> float:
    """Two for a multiplication with its addition, in the convolutions."""
    counted: list[float] = []
    hooks = [
        part.register_forward_hook(
            lambda part, _, output: counted.append(2.0 * output[0].numel() * part.weight[0].numel())
        )
        for part in module.modules()
        if isinstance(part, nn.Conv2d)
    ]
    with torch.inference_mode():
        module(example)
    for hook in hooks:
        hook.remove()
    return sum(counted) / 1e9


def _write_facts(folder: Path, kind: str, weights: str, facts: dict[str, Any], side: int) -> None:
    folder.mkdir(parents=True)
    (folder / "class_names.txt").write_text("".join(f"thing-{index}\n" for index in range(CLASSES)), encoding="utf-8")
    files = {
        "model_config.json": {
            "model_architecture": "yolov8",
            "task_type": "object-detection",
            "backend_type": kind,
            "quantization": "fp32",
            "weights": weights,
            **facts,
        },
        "inference_config.json": {
            "network_input": {
                "training_input_size": {"height": side, "width": side},
                "resize_mode": "letterbox",
                "padding_value": 114,
                "scaling_factor": 255,
            },
            "forward_pass": {"static_batch_size": None, "max_dynamic_batch_size": MOST},
            "post_processing": {
                "type": "nms",
                "fused": False,
                "nms_parameters": {"confidence_threshold": CONFIDENCE, "iou_threshold": 0.5},
            },
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")
