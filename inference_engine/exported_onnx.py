"""A bare ONNX file as a package: task, names and image size come from the metadata that its exporter left inside."""

from __future__ import annotations

import re
from pathlib import Path

from inference_engine.errors import PackageInvalid
from inference_engine.exported_metadata import class_names, input_hw, is_suppressed, skeleton
from inference_engine.inference_config import InferenceConfig, NetworkInput, ResizeMode
from inference_engine.onnx_contents import check_onnx
from inference_engine.onnx_file import OnnxHeader, read_onnx_header
from inference_engine.packages import ModelPackage, digest_of, file_sha256
from inference_engine.tasks import classification, detection, instance_segmentation, keypoints, oriented
from inference_engine.tasks.keypoints import Skeleton
from inference_engine.weights import check_finite

#: The exporter's words for our tasks.
_TASKS = {
    "detect": detection.TASK,
    "segment": instance_segmentation.TASK,
    "pose": keypoints.TASK,
    "obb": oriented.TASK,
    "classify": classification.TASK,
}
#: Padding grey and scaling that YOLOv8-style exports were trained with (ultralytics LetterBox, docs of 8.x).
_GREY, _SCALE = 114, 255.0


def package_from_onnx(path: Path, declared: set[str] | None = None) -> ModelPackage:
    """Read a bare ONNX file of a YOLO network of any task.

    Args:
        declared: external data files that somebody vouches for.

    Raises:
        PackageInvalid: names or size are not in the file, or its head is none that its task and classes make.
    """
    header = read_onnx_header(path)
    names = class_names(header, path)
    task = _TASKS.get(header.metadata.get("task", "detect"))
    if task is None:
        raise PackageInvalid(
            f"{path}: its metadata says task {header.metadata['task']!r}; read bare are {', '.join(_TASKS)}"
        )
    _check_input(header, path)
    points = skeleton(header, path) if task == keypoints.TASK else Skeleton(())
    family = _family(header, task, len(names), len(points.names), path)
    contents = check_onnx(path, declared or set())
    sha256 = file_sha256(path)
    check_finite(path, sha256)
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
        config=_config(header, task, path),
        digest=digest_of({path.name: sha256}),
        opset=contents.opset,
        files={path.name: sha256},
        skeletons=(points,) * len(names) if task == keypoints.TASK else (),
        key_point_places=len(points.names),
    )


_PRECISION = {"float32": "fp32", "float16": "fp16"}


def _config(header: OnnxHeader, task: str, path: Path) -> InferenceConfig:
    hw, batch = input_hw(header, path), header.inputs[0].shape[0]
    if task == classification.TASK:
        # `classify_transforms` of ultralytics/data/augment.py; the softmax is in the head of an export.
        network = NetworkInput(hw, ResizeMode.SHORT_EDGE_CROP, padding_value=0, scaling_factor=_SCALE, antialias=True)
        return InferenceConfig(network, static_batch_size=batch, post_processing="softmax", is_fused=True)
    network = NetworkInput(hw, padding_value=_GREY, scaling_factor=_SCALE)
    return InferenceConfig(network, static_batch_size=batch, post_processing="nms", is_fused=is_suppressed(header))


def _family(header: OnnxHeader, task: str, classes: int, points: int, path: Path) -> str:
    """Who decodes the head; of YOLOv5's and YOLOv7's own exporters the last axis has an objectness beside the classes.

    Raises:
        PackageInvalid: the output is of no such network.
    """
    if task == classification.TASK:
        return _classifier(header, classes, path)
    extra = _extra(header, task, points, path)
    shape, rows, columns = header.outputs[0].shape, 4 + classes + extra, 5 + classes + extra
    is_fused = is_suppressed(header)
    if len(shape) == 3 and is_fused and shape[2] in (None, 6 + extra):
        return "yolo"
    has_objectness = task in (detection.TASK, instance_segmentation.TASK)
    if len(shape) == 3 and not is_fused and has_objectness and shape[1] != rows and shape[2] == columns:
        return "yolo_objectness"
    if len(shape) == 3 and not is_fused and shape[1] in (None, rows):
        return "yolo"
    plain = f"(n, {rows}, anchors) or (n, anchors, {columns})" if has_objectness else f"(n, {rows}, anchors)"
    expected = f"(n, boxes, {6 + extra})" if is_fused else plain
    raise PackageInvalid(
        f"{path}: output {header.outputs[0].name} is {shape}, expected {expected} for {classes} classes"
    )


def _classifier(header: OnnxHeader, classes: int, path: Path) -> str:
    shape = header.outputs[0].shape
    if len(shape) != 2 or shape[1] not in (None, classes):
        raise PackageInvalid(f"{path}: output {header.outputs[0].name} is {shape}, expected (n, {classes})")
    return "classification"


def _extra(header: OnnxHeader, task: str, points: int, path: Path) -> int:
    """Numbers that the task has for each box."""
    if task != instance_segmentation.TASK:
        return 1 if task == oriented.TASK else 3 * points
    found = [spec.shape for spec in header.outputs if len(spec.shape) == 4]
    if len(found) != 1 or found[0][1] is None:
        raise PackageInvalid(
            f"{path}: outputs {[spec.shape for spec in header.outputs]}, expected prototypes (n, coefficients, h, w) "
            "among them"
        )
    return found[0][1]


def _check_input(header: OnnxHeader, path: Path) -> None:
    found = [spec.shape for spec in header.inputs]
    if len(found) != 1 or len(found[0]) != 4 or found[0][1] not in (None, 3):
        raise PackageInvalid(f"{path}: inputs of shape {found}, expected one input (n, 3, height, width)")


def _architecture(header: OnnxHeader, family: str) -> str:
    if family == "yolo_objectness":
        return "yolov5"
    match = re.search(r"yolo(v?\d+)", header.metadata.get("description", ""), re.IGNORECASE)
    return f"yolo{match[1].lower()}" if match else "yolov8"
