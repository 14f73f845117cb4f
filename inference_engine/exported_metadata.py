"""What an exporter left in an ONNX file's metadata, as Python literals; only data is read, nothing is evaluated.

The keys are those that ultralytics writes into its exports (8.x, ultralytics/engine/exporter.py): `names`, `imgsz`,
`kpt_shape`, `kpt_names`, `end2end`, `args`.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.onnx_file import OnnxHeader
from inference_engine.tasks.keypoints import Skeleton


def class_names(header: OnnxHeader, path: Path) -> tuple[str, ...]:
    """By class id.

    Raises:
        PackageInvalid: there are none, or two are the same.
    """
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


def input_hw(header: OnnxHeader, path: Path) -> tuple[int, int]:
    """Height and width: of the input where they are fixed, else as the exporter says.

    Raises:
        PackageInvalid: neither is there.
    """
    shape = header.inputs[0].shape
    if shape[2] and shape[3]:
        return shape[2], shape[3]
    found = _literal(header.metadata.get("imgsz"))
    size = [found, found] if isinstance(found, int) else found
    if isinstance(size, list | tuple) and len(size) == 2 and all(type(n) is int and n > 0 for n in size):
        return size[0], size[1]
    raise PackageInvalid(f"{path}: the input {shape} has no fixed height and width, and `imgsz` is {found!r}")


def is_suppressed(header: OnnxHeader) -> bool:
    """Whether suppression is inside: an end-to-end head, or an export with `nms=True`."""
    return header.metadata.get("end2end") == "True" or "'nms': True" in header.metadata.get("args", "")


def skeleton(header: OnnxHeader, path: Path) -> Skeleton:
    """Names of the key points, which all classes share; numbers where the exporter left none.

    Raises:
        PackageInvalid: their number is not there, or they have no confidence each.
    """
    shape, named = (_literal(header.metadata.get(key)) for key in ("kpt_shape", "kpt_names"))
    is_shape = isinstance(shape, list | tuple) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not is_shape or shape[0] < 1 or shape[1] != 3:
        raise PackageInvalid(
            f"{path}: its metadata says kpt_shape {shape!r}, expected [points, 3]: x, y and confidence a point"
        )
    listed = named.get(0) if isinstance(named, dict) else named
    if isinstance(listed, list | tuple) and len(listed) == shape[0]:
        return Skeleton(tuple(map(str, listed)))
    return Skeleton(tuple(str(number) for number in range(shape[0])))


def _literal(text: str | None) -> Any:
    try:
        return ast.literal_eval(text) if text else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text
