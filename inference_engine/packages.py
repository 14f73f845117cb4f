"""A model package: one exported form of one model, in a folder. Reading it never imports a runtime.

A package folder holds `model_config.json` (what it is), its weights, `class_names.txt` and `inference_config.json`.
A bare ONNX file is a package too when its exporter left names and image size inside (`exported_onnx.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import InferenceConfig, optional_count, parse_inference_config, section

CONFIG_FILE = "model_config.json"
SCHEMA_VERSION = 1

#: Precisions that a package may declare.
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "unknown")
#: Which family decodes which architecture; the first name of a row is the family's module.
ARCHITECTURES = {"yolov8": "yolo", "yolov9": "yolo", "yolov11": "yolo", "yolo11": "yolo", "yolov12": "yolo"}


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """Everything known of one package before it is opened.

    Attributes:
        kind: what artefact it is: `torch`, `onnx` ...; a backend says which kinds it opens.
        family: the module of `inference_engine.families` that decodes it.
        weights: path of the artefact.
        quantization: precision of its arithmetic: `fp32`, `fp16`, `bf16`, `int8` or `unknown`.
        module: name and arguments of the eager module that a `torch` package fills.
        opset: of an `onnx` package.
        digest: sha256 over the names and hashes of its files; what a result is keyed by.
        warnings: what a reader should know; shown by `explain`.
    """

    package_id: str
    model_id: str
    kind: str
    architecture: str
    family: str
    task: str
    weights: Path
    quantization: str
    class_names: tuple[str, ...]
    config: InferenceConfig
    digest: str
    module: tuple[str, Mapping[str, Any]] | None = None
    opset: int | None = None
    warnings: tuple[str, ...] = field(default=())

    @property
    def static_batch_size(self) -> int | None:
        """Images that a run takes exactly; None where the batch is free."""
        return self.config.static_batch_size

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most, as declared; 64 where a dynamic package says nothing."""
        return self.config.static_batch_size or self.config.max_batch_size or 64


def read_package(folder: Path) -> ModelPackage:
    """Read and check one package folder.

    Raises:
        PackageInvalid: a file is missing or damaged, or a field is unknown or wrong.
    """
    config = _json_object(folder / CONFIG_FILE)
    where = str(folder / CONFIG_FILE)
    if config.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise PackageInvalid(
            f"{where}: schema_version {config['schema_version']!r}, this version reads {SCHEMA_VERSION}"
        )
    architecture = _text(config, "model_architecture", where)
    if architecture not in ARCHITECTURES:
        raise PackageInvalid(f"{where}: architecture {architecture!r} is not one of {', '.join(ARCHITECTURES)}")
    weights = folder / _text(config, "weights", where)
    if weights.parent != folder or not weights.is_file():
        raise PackageInvalid(f"{where}: weights {weights.name!r} is not a file of this folder")
    inference = _json_object(folder / "inference_config.json")
    onnx = section(config, "onnx", where)
    return ModelPackage(
        package_id=str(config.get("package_id") or folder.name),
        model_id=str(config.get("model_id") or folder.parent.name),
        kind=_text(config, "backend_type", where),
        architecture=architecture,
        family=ARCHITECTURES[architecture],
        task=_text(config, "task_type", where),
        weights=weights,
        quantization=_precision(config.get("quantization"), where),
        class_names=_class_names(folder / "class_names.txt"),
        config=parse_inference_config(inference, str(folder / "inference_config.json")),
        digest=_checked_digest(folder, section(config, "files", where)),
        module=_module(section(config, "module", where), where),
        opset=optional_count(onnx.get("opset"), "onnx.opset", where),
    )


def file_sha256(path: Path) -> str:
    """Hash a file in pieces; hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(hashes: Mapping[str, str]) -> str:
    """One hash over a package's file names and hashes, whatever their order."""
    lines = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _checked_digest(folder: Path, declared: Mapping[str, Any]) -> str:
    """Hash every file of the folder; those with a declared hash must match it."""
    try:
        found = {file.name: file_sha256(file) for file in sorted(folder.iterdir()) if file.is_file()}
    except OSError as error:
        raise PackageInvalid(f"{folder}: its files cannot be read ({error})") from error
    for name in declared:
        expected = section(declared, name, f"{folder / CONFIG_FILE}: files").get("sha256")
        if found.get(name) != expected:
            raise PackageInvalid(
                f"{folder / name}: sha256 is {found.get(name) or 'absent'}, "
                f"{CONFIG_FILE} says {expected}; the file is damaged or was changed: fetch the package again"
            )
    return digest_of(found)


def _class_names(path: Path) -> tuple[str, ...]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{path}: class names cannot be read ({error})") from error
    # An empty line between names is refused: dropping it would shift every class after it.
    names = tuple(line.strip() for line in text.rstrip().split("\n"))
    if not all(names) or len(set(names)) != len(names):
        raise PackageInvalid(
            f"{path}: expected different class names, one a line and no line empty, found {names[:20]}"
        )
    return names


def _module(data: Mapping[str, Any], where: str) -> tuple[str, Mapping[str, Any]] | None:
    if not data:
        return None
    return _text(data, "name", f"{where}: module"), dict(section(data, "args", f"{where}: module"))


def _precision(value: Any, where: str) -> str:
    if value is None:
        return "unknown"
    if value not in PRECISIONS:
        raise PackageInvalid(f"{where}: quantization is {value!r}, expected one of {', '.join(PRECISIONS)}")
    return str(value)


def _json_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PackageInvalid(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(data, dict):
        raise PackageInvalid(f"{path}: expected a JSON object, found {type(data).__name__}")
    return data


def _text(data: Mapping[str, Any], key: str, where: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise PackageInvalid(f"{where}: {key} must be a text, found {value!r}")
    return value
