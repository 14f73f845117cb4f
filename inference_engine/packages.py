"""A model package: one exported form of one model, in a folder. Reading it never imports a runtime.

A package folder holds `model_config.json` (what it is), its weights, `class_names.txt` and `inference_config.json`.
A bare ONNX file is a package too when its exporter left names and image size inside (`exported_onnx.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from inference_engine.architectures import ARCHITECTURES, END_TO_END
from inference_engine.config_fields import check_known, optional_count, section, text
from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import InferenceConfig, NmsDefaults, parse_inference_config
from inference_engine.network_input import NetworkInput
from inference_engine.onnx_contents import check_onnx
from inference_engine.package_files import (
    CONFIG_FILE,
    digest_of,
    file_sha256,
    find_weights,
    read_class_names,
    read_object,
    read_parts,
)
from inference_engine.package_keys import key_warnings
from inference_engine.package_sections import (
    checked_files,
    family_for,
    kind_of,
    model_id_of,
    module_of,
    names_for,
    package_id_of,
    precision_of,
    read_inference_config,
    read_names,
    read_requirements,
)
from inference_engine.recommended import Recommended, parse_recommended
from inference_engine.requirements import Requirements
from inference_engine.sessions import TensorSpec
from inference_engine.skeletons import FILE as SKELETONS_FILE
from inference_engine.skeletons import read_skeletons, reported
from inference_engine.tasks import (
    keypoints,
)
from inference_engine.tasks.keypoints import Skeleton
from inference_engine.weights import check_finite

__all__ = ["CONFIG_FILE", "SCHEMA_VERSION", "ModelPackage", "digest_of", "file_sha256", "read_package"]

SCHEMA_VERSION = 1

#: What of `inference_config.json` a family applies beyond the input; a package that asks for more is refused.
_DETECTOR_APPLIES = frozenset({"nms", "fused", "class removal"})
FAMILY_APPLIES = {
    "yolo": _DETECTOR_APPLIES,
    "yolo_objectness": _DETECTOR_APPLIES,
    "yolo_nas": _DETECTOR_APPLIES,
    "yolox": _DETECTOR_APPLIES,
    "rf_detr": frozenset({"nms", "class removal"}),
    "detr_exports": _DETECTOR_APPLIES,
    "classification": frozenset({"softmax", "sigmoid", "fused", "class removal"}),
    "semantic_segmentation": frozenset({"softmax", "sigmoid", "class removal"}),
    "depth": frozenset(),
    "embedding": frozenset(),
    "text_detection": frozenset(),
    "text_recognition": frozenset({"softmax", "fused"}),
}


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """Everything known of one package before it is opened.

    Attributes:
        kind: what artefact it is: `torch`, `torch-script`, `torch-export`, `onnx`, `trt`, `hf` or `custom-code`; a
            backend says which kinds it opens.
        family: the module of `inference_engine.families` that decodes it; `custom` for custom code.
        weights: path of the artefact; of custom code, its module.
        quantization: precision of its arithmetic: `fp32`, `fp16`, `bf16`, `int8` or `unknown`.
        class_names: of results, by class id.
        digest: sha256 over the names and hashes of its files; what a result is keyed by.
        module: name and arguments of the eager module that a `torch` package fills.
        opset: of an `onnx` package.
        warnings: what a reader should know; shown by `explain`.
        network_classes: names by the network's class id, where `class_names` lacks removed ones; empty: the same.
        files: sha256 of every file, by its path in the folder.
        code_class: name of the class in a custom-code package's module.
        settings: `model_config.json` as it stands, for what only one backend reads.
        requirements: what the artefact needs of a machine.
        weights_bytes: size of the artefact; None: not known.
        recommended: thresholds that hold where a call says none.
        skeletons: names and lines of key points, by class id of results; empty where the task has none.
        key_point_places: points that the network gives each box: as many as its class with the most has.
        parts: artefacts of the same kind beside the weights, by what they are for, such as `text`.
        more_inputs: what the network takes beside a picture, as its recipe says; of artefacts that do not say it.
        takes_pictures: false of a part, such as one for texts.
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
    network_classes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    code_class: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    requirements: Requirements = field(default_factory=Requirements)
    weights_bytes: int | None = None
    recommended: Recommended = field(default=Recommended())
    skeletons: tuple[Skeleton, ...] = ()
    key_point_places: int = 0
    parts: Mapping[str, Path] = field(default_factory=dict)
    more_inputs: tuple[TensorSpec, ...] = ()
    takes_pictures: bool = True

    def part(self, name: str) -> ModelPackage:
        """The package with one of its parts in place of its weights."""
        path = self.parts[name]
        return replace(self, weights=path, weights_bytes=path.stat().st_size, parts={}, takes_pictures=False)

    @property
    def fused_nms(self) -> NmsDefaults | None:
        """What the network's own suppression of boxes was built with; None where it has none."""
        return self.config.nms if self.config.is_fused else None

    @property
    def static_batch_size(self) -> int | None:
        """Images that a run takes exactly; None where the batch is free."""
        return self.config.static_batch_size

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most, as declared; 64 where a dynamic package says nothing."""
        return self.config.static_batch_size or self.config.max_batch_size or 64

    @property
    def network_class_count(self) -> int:
        """Classes that the network scores, removed ones included."""
        return len(self.network_classes or self.class_names)

    @property
    def reported_ids(self) -> tuple[int, ...]:
        """By the network's class id: the id in `class_names`, -1 for a removed class."""
        return _reported_ids(self.class_names, self.network_classes)


@lru_cache(maxsize=64)
def _reported_ids(class_names: tuple[str, ...], network_classes: tuple[str, ...]) -> tuple[int, ...]:
    """Asked for every image."""
    names = {name: index for index, name in enumerate(class_names)}
    return tuple(names.get(name, -1) for name in network_classes or class_names)


def read_package(folder: str | os.PathLike[str]) -> ModelPackage:
    """Read and check one package folder.

    Raises:
        PackageInvalid: a file is missing or damaged, or a field is unknown or wrong.
    """
    folder = Path(folder)
    config, where = read_object(folder / CONFIG_FILE), str(folder / CONFIG_FILE)
    if config.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
        raise PackageInvalid(
            f"{where}: schema_version {config['schema_version']!r}, this version reads {SCHEMA_VERSION}"
        )
    if "model_module" in config or "model_class" in config:
        return _custom_package(folder, config, where)
    kind = kind_of(config, where)
    if kind == "hf":
        return _hf_package(folder, config, where)
    architecture, family = family_for(config, where)
    weights = find_weights(folder, kind, config.get("weights") and text(config, "weights", where))
    is_end_to_end = architecture in END_TO_END and family == ARCHITECTURES[architecture]
    inference = read_inference_config(folder, kind, is_fused=is_end_to_end)
    names, network_names = names_for(text(config, "task_type", where), folder, inference)
    files = checked_files(folder, config, where)
    package = ModelPackage(
        package_id=package_id_of(folder, config),
        model_id=model_id_of(folder, config),
        kind=kind,
        architecture=architecture,
        family=family,
        task=text(config, "task_type", where),
        weights=weights,
        quantization=precision_of(config.get("quantization"), where),
        class_names=names,
        config=inference,
        digest=digest_of(files),
        module=module_of(section(config, "module", where), inference, where),
        opset=optional_count(section(config, "onnx", where).get("opset"), "onnx.opset", where),
        network_classes=network_names,
        files=files,
        settings=config,
        warnings=key_warnings(config, CONFIG_FILE),
        requirements=read_requirements(folder, config, kind, where),
        weights_bytes=weights.stat().st_size,
        parts=read_parts(folder, kind, config, where),
        recommended=parse_recommended(config, names, where),
    )
    _check_applied(package, where)
    if package.task == keypoints.TASK:
        found = read_skeletons(folder / SKELETONS_FILE, package.network_class_count)
        places = max(len(skeleton.names) for skeleton in found)
        package = replace(package, skeletons=reported(found, package.reported_ids), key_point_places=places)
    return _checked_artefact(package, set(section(config, "files", where)))


def _custom_package(folder: Path, config: Mapping[str, Any], where: str) -> ModelPackage:
    """A package whose class does everything itself; names and input are there only if it declares them."""
    module = text(config, "model_module", where)
    weights = folder / module
    if weights.parent != folder or weights.suffix != ".py" or not weights.is_file():
        raise PackageInvalid(f"{where}: model_module {module!r} is not a Python file of this folder")
    code_class = text(config, "model_class", where)
    if not code_class.isidentifier():
        raise PackageInvalid(f"{where}: model_class {code_class!r} is not a name of Python")
    declares_input = (folder / "inference_config.json").is_file()
    inference = (
        read_inference_config(folder, "custom-code") if declares_input else InferenceConfig(NetworkInput((0, 0)))
    )
    arguments = {**inference.initialization, **section(config, "model_initialization", where)}
    has_names = (folder / "class_names.txt").is_file()
    names, network_names = read_names(folder, inference) if has_names else ((), ())
    files = checked_files(folder, config, where)
    return ModelPackage(
        package_id=package_id_of(folder, config),
        model_id=model_id_of(folder, config),
        kind="custom-code",
        architecture=str(config.get("model_architecture") or "custom"),
        family="custom",
        task=str(config.get("task_type") or "custom"),
        weights=weights,
        quantization=precision_of(config.get("quantization"), where),
        class_names=names,
        config=replace(inference, initialization=arguments),
        digest=digest_of(files),
        network_classes=network_names,
        files=files,
        code_class=code_class,
        settings=config,
        warnings=key_warnings(config, CONFIG_FILE),
        requirements=read_requirements(folder, config, "custom-code", where),
    )


def _hf_package(folder: Path, config: Mapping[str, Any], where: str) -> ModelPackage:
    """A folder in Hugging Face format with our configuration beside: that names it, and may rename its classes."""
    from inference_engine.hf_folder import package_from_hf

    declared = text(config, "model_architecture", where), text(config, "task_type", where)
    found = package_from_hf(folder, declared[1])
    if declared != (found.architecture, found.task):
        raise PackageInvalid(
            f"{where}: model_architecture and task_type are {declared}, config.json says "
            f"{(found.architecture, found.task)}"
        )
    has_names = (folder / "class_names.txt").is_file()
    names = read_class_names(folder / "class_names.txt") if has_names else found.class_names
    if len(names) != len(found.class_names):
        raise PackageInvalid(
            f"{folder}: class_names.txt has {len(names)} names, id2label in config.json {len(found.class_names)}"
        )
    files = checked_files(folder, config, where)
    precision = precision_of(config.get("quantization"), where)
    return replace(
        found,
        package_id=package_id_of(folder, config),
        model_id=model_id_of(folder, config),
        quantization=found.quantization if precision == "unknown" else precision,
        class_names=names,
        config=_hf_inference(folder, found.config),
        digest=digest_of(files),
        files=files,
        settings=config,
        warnings=key_warnings(config, CONFIG_FILE),
        requirements=read_requirements(folder, config, "hf", where),
        recommended=parse_recommended(config, names, where),
        weights_bytes=found.weights_bytes or found.weights.stat().st_size,
    )


def _hf_inference(folder: Path, found: InferenceConfig) -> InferenceConfig:
    """Batch limits and thresholds of an `inference_config.json`; the input is `preprocessor_config.json`'s."""
    path = folder / "inference_config.json"
    if not path.is_file():
        return found
    given, (height, width) = read_object(path), found.network_input.hw
    check_known(given, {"forward_pass", "post_processing"}, f"{path}, beside preprocessor_config.json")
    size = {"training_input_size": {"height": height, "width": width}}
    return replace(
        parse_inference_config({**given, "network_input": size}, str(path)), network_input=found.network_input
    )


def _check_applied(package: ModelPackage, where: str) -> None:
    """Refuse what the family would ignore."""
    config = package.config
    asked = {
        config.post_processing: config.post_processing is not None,
        "fused": config.is_fused,
        "class removal": bool(config.removed_classes),
    }
    applied = FAMILY_APPLIES.get(package.family, frozenset({"nms", "softmax", "sigmoid"}))
    if refused := [name for name, is_asked in asked.items() if is_asked and name not in applied]:
        raise PackageInvalid(
            f"{where}: inference_config.json asks for {refused[0]} (post_processing or class_names_operations), "
            f"family {package.family} applies {', '.join(sorted(applied))} only"
        )


def _checked_artefact(package: ModelPackage, declared: set[str]) -> ModelPackage:
    """Look into what can be read without a runtime: its operators, its external data, its numbers."""
    for path in (*package.parts.values(), package.weights):
        if package.kind == "onnx":
            contents = check_onnx(path, declared)
            package = replace(package, opset=package.opset or contents.opset)
        check_finite(path, package.files.get(path.name, ""))
    return package
