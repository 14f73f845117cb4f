"""A bare ONNX file as a package: names and image size come from the metadata that its exporter left inside.

The keys are those that ultralytics writes into its ONNX exports (8.x): `names` and `imgsz` as Python literals,
`task`, `description`, `end2end`. Only data is read; nothing is evaluated.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.onnx_contents import check_onnx
from inference_engine.onnx_file import OnnxHeader, read_onnx_header
from inference_engine.packages import ModelPackage, digest_of, file_sha256
from inference_engine.weights import check_finite

_TASKS = {"detect": "object-detection"}
#: Padding grey and scaling that YOLOv8-style exports were trained with (ultralytics LetterBox, docs of 8.x).
_GREY, _SCALE = 114, 255.0


def package_from_onnx(path: Path, declared: set[str] | None = None) -> ModelPackage:
    """Read a bare ONNX file of a YOLOv8- or YOLO11-style detector.

    Args:
        declared: external data files that somebody vouches for.

    Raises:
        PackageInvalid: names or size are not in the file, or its head is not `(n, 4 + classes, anchors)`.
    """
    header = read_onnx_header(path)
    names = _names(header, path)
    task = _TASKS.get(header.metadata.get("task", "detect"))
    if task is None:
        raise PackageInvalid(f"{path}: its metadata says task {header.metadata['task']!r}; only 'detect' is read bare")
    is_fused = _is_fused(header)
    family = _family(header, len(names), is_fused, path)
    contents = check_onnx(path, declared or set())
    sha256 = file_sha256(path)
    check_finite(path, sha256)
    network = NetworkInput(hw=_size(header, path), padding_value=_GREY, scaling_factor=_SCALE)
    batch = header.inputs[0].shape[0]
    return ModelPackage(
        package_id=path.name,
        model_id=path.stem,
        kind="onnx",
        architecture=_architecture(header, family),
        family=family,
        task=task,
        weights=path,
        quantization="int8" if header.is_quantized else _PRECISION.get(header.inputs[0].dtype, "unknown"),
        class_names=names,
        config=InferenceConfig(network, static_batch_size=batch, post_processing="nms", is_fused=is_fused),
        digest=digest_of({path.name: sha256}),
        opset=contents.opset,
        files={path.name: sha256},
    )


_PRECISION = {"float32": "fp32", "float16": "fp16"}


def _names(header: OnnxHeader, path: Path) -> tuple[str, ...]:
    found = _literal(header.metadata.get("names"))
    if isinstance(found, dict) and set(found) == set(range(len(found))):
        found = [found[index] for index in range(len(found))]
    names = tuple(str(name).strip() for name in found) if isinstance(found, list | tuple) else ()
    if names and all(names) and len(set(names)) == len(names):
        return names
    raise PackageInvalid(
        f"{path}: its metadata has no different class names (`names` is {str(found)[:200]!r}); "
        "put the file into a package folder with model_config.json, class_names.txt and inference_config.json"
    )


def _size(header: OnnxHeader, path: Path) -> tuple[int, int]:
    """Height and width: of the input where they are fixed, else as the exporter says."""
    shape = header.inputs[0].shape
    if shape[2] and shape[3]:
        return shape[2], shape[3]
    found = _literal(header.metadata.get("imgsz"))
    size = [found, found] if isinstance(found, int) else found
    if isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):
        return size[0], size[1]
    raise PackageInvalid(f"{path}: the input {shape} has no fixed height and width, and `imgsz` is {found!r}")


def _is_fused(header: OnnxHeader) -> bool:
    """Whether suppression is inside: an end-to-end head, or an export with `nms=True`, each `(n, boxes, 6)`."""
    return header.metadata.get("end2end") == "True" or "'nms': True" in header.metadata.get("args", "")


def _family(header: OnnxHeader, classes: int, is_fused: bool, path: Path) -> str:
    """Who decodes the head; of YOLOv5's and YOLOv7's own exporters the last axis has an objectness beside the classes.

    Raises:
        PackageInvalid: input or output are of no such detector.
    """
    _check_input(header, path)
    shape, rows, columns = header.outputs[0].shape, 4 + classes, 5 + classes
    if len(shape) == 3 and is_fused and shape[2] in (None, 6):
        return "yolo"
    if len(shape) == 3 and not is_fused and shape[1] != rows and shape[2] == columns:
        return "yolo_objectness"
    if len(shape) == 3 and not is_fused and shape[1] in (None, rows):
        return "yolo"
    expected = "(n, boxes, 6)" if is_fused else f"(n, {rows}, anchors) or (n, anchors, {columns})"
    raise PackageInvalid(
        f"{path}: output {header.outputs[0].name} is {shape}, expected {expected} for {classes} classes"
    )


def _check_input(header: OnnxHeader, path: Path) -> None:
    found = [spec.shape for spec in header.inputs]
    if len(found) != 1 or len(found[0]) != 4 or found[0][1] not in (None, 3):
        raise PackageInvalid(f"{path}: inputs of shape {found}, expected one input (n, 3, height, width)")


def _architecture(header: OnnxHeader, family: str) -> str:
    if family == "yolo_objectness":
        return "yolov5"
    match = re.search(r"yolo(v?\d+)", header.metadata.get("description", ""), re.IGNORECASE)
    return f"yolo{match[1].lower()}" if match else "yolov8"


def _literal(text: str | None) -> Any:
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
