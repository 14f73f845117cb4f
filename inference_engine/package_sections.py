"""What each file and each section of a package's folder says, checked; `packages` puts it together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference_engine.architectures import ARCHITECTURES, family_of, known_architectures
from inference_engine.config_fields import optional_count, section, text
from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import InferenceConfig, parse_inference_config
from inference_engine.package_files import (
    check_hashes,
    declared_hashes,
    hash_files,
    read_characters,
    read_class_names,
    read_object,
)
from inference_engine.requirements import Requirements, package_requirements
from inference_engine.tasks import classification, depth, embedding, multi_label, semantic_segmentation, text_ocr

#: Precisions that a package may declare.
PRECISIONS = ("fp32", "fp16", "bf16", "int8", "unknown")
#: Tasks whose head is decoded alike whatever the network before it, YOLO's too; with their family.
_BY_TASK = {
    classification.TASK: "classification",
    multi_label.TASK: "classification",
    semantic_segmentation.TASK: "semantic_segmentation",
    depth.TASK: "depth",
    embedding.TASK: "embedding",
}
#: Tasks without classes: their packages need no `class_names.txt`.
_NAMELESS = frozenset({depth.TASK, embedding.TASK})
#: The peer library's names of kinds that are called otherwise here.
KIND_NAMES = {"hugging-face": "hf", "tensorrt": "trt", "torchscript": "torch-script", "custom": "custom-code"}


def read_requirements(folder: Path, config: Mapping[str, Any], kind: str, where: str) -> Requirements:
    """What the package needs of a machine; of a plan, its own file says more."""
    path = folder / "trt_config.json"
    plan = read_object(path) if kind == "trt" and path.is_file() else {}
    return package_requirements(config, plan, kind, where)


def package_id_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The id that the package names, else its folder's name."""
    return str(config.get("package_id") or config.get("model_package_id") or folder.name)


def model_id_of(folder: Path, config: Mapping[str, Any]) -> str:
    """The model that the package names, else the name of the folder that holds it."""
    return str(config.get("model_id") or folder.parent.name)


def family_for(config: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Architecture and the family that decodes it.

    Raises:
        PackageInvalid: nobody decodes it.
    """
    architecture = text(config, "model_architecture", where)
    named = config.get("family")
    if named is not None:
        return architecture, text(config, "family", where)
    task = config.get("task_type")
    if architecture in ARCHITECTURES and task in _BY_TASK:
        return architecture, _BY_TASK[task]
    family = family_of(architecture)
    if family is None:
        raise PackageInvalid(
            f"{where}: architecture {architecture!r} is not one of {', '.join(known_architectures())}; "
            "a package of another one names its `family`"
        )
    return architecture, family


def kind_of(config: Mapping[str, Any], where: str) -> str:
    """What artefact it is, by our name."""
    kind = text(config, "backend_type", where).lower().replace("_", "-")
    return KIND_NAMES.get(kind, kind)


def read_inference_config(folder: Path, kind: str, *, is_fused: bool = False) -> InferenceConfig:
    """`inference_config.json`; of a plan, with the batch limits beside it."""
    path = folder / "inference_config.json"
    parsed = parse_inference_config(read_object(path), str(path), is_fused=is_fused)
    if kind != "trt" or not (folder / "trt_config.json").is_file():
        return parsed
    return _with_engine_batch(parsed, read_object(folder / "trt_config.json"), str(folder / "trt_config.json"))


def _with_engine_batch(config: InferenceConfig, engine: Mapping[str, Any], where: str) -> InferenceConfig:
    """A plan's own batch limits, as the peer library writes them beside it."""
    return replace(
        config,
        static_batch_size=config.static_batch_size
        or optional_count(engine.get("static_batch_size"), "static_batch_size", where),
        max_batch_size=config.max_batch_size
        or optional_count(engine.get("dynamic_batch_size_max"), "dynamic_batch_size_max", where),
    )


def names_for(task: str, folder: Path, config: InferenceConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As `_names`; readers of text have characters for classes, and some tasks have no classes at all."""
    if task == text_ocr.TASK:
        return read_characters(folder / "characters.txt"), ()
    return ((), ()) if task in _NAMELESS else read_names(folder, config)


def read_names(folder: Path, config: InferenceConfig) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of results, and names of the network where those are more."""
    names = read_class_names(folder / "class_names.txt")
    if absent := [name for name in config.removed_classes if name not in names]:
        raise PackageInvalid(f"{folder}: class_names_operations removes {absent[0]!r}, which class_names.txt lacks")
    kept = tuple(name for name in names if name not in config.removed_classes)
    if not kept:
        raise PackageInvalid(f"{folder}: class_names_operations removes every class")
    return kept, names if len(kept) < len(names) else ()


def checked_files(folder: Path, config: Mapping[str, Any], where: str) -> dict[str, str]:
    """Sha256 of every file, by its path.

    Raises:
        PackageInvalid: a file is not what the configuration declares.
    """
    found = hash_files(folder)
    check_hashes(folder, found, declared_hashes(section(config, "files", where), where))
    return found


def module_of(data: Mapping[str, Any], config: InferenceConfig, where: str) -> tuple[str, Mapping[str, Any]] | None:
    """Name and arguments of the eager module; `model_initialization` adds to its arguments."""
    if data:
        arguments = {**section(data, "args", f"{where}: module"), **config.initialization}
        return text(data, "name", f"{where}: module"), arguments
    if config.initialization:
        raise PackageInvalid(f"{where}: model_initialization has arguments, and no module or class takes them")
    return None


def precision_of(value: Any, where: str) -> str:
    """The declared precision; `unknown` where nothing is declared."""
    if value is None:
        return "unknown"
    if value not in PRECISIONS:
        raise PackageInvalid(f"{where}: quantization is {value!r}, expected one of {', '.join(PRECISIONS)}")
    return str(value)
