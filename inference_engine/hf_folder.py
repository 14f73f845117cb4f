"""A folder in Hugging Face format as a package: `config.json`, `model.safetensors`, `preprocessor_config.json`.

Only JSON is read. Weights must be safetensors, and a folder whose configuration names code of its own is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.hf_generative import STEPS as GENERATIVE_TYPES
from inference_engine.hf_generative import architecture_of, package_from_generative
from inference_engine.hf_promptable import STEPS as PROMPTABLE_TYPES
from inference_engine.hf_promptable import package_from_promptable
from inference_engine.inference_config import InferenceConfig, NetworkInput, ResizeMode
from inference_engine.package_files import read_object
from inference_engine.packages import ModelPackage, digest_of, file_sha256

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
#: config.json's model_type -> (our family, task). Each is tested against transformers itself.
MODEL_TYPES = {
    "detr": ("hf_detection", "object-detection"),
    "yolos": ("hf_detection", "object-detection"),
    "rt_detr": ("hf_detection", "object-detection"),
}
#: Model types that take a mask of what is picture and what is padding.
MASKED = frozenset({"detr"})
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
#: The image processors' own default size (transformers 5, DetrImageProcessor and RTDetrImageProcessor).
_SIZES = {"rt_detr": {"height": 640, "width": 640}}
_SIZE = {"shortest_edge": 800, "longest_edge": 1333}


def is_hf_folder(path: Path) -> bool:
    """Whether a folder looks like a model in Hugging Face format."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in (WEIGHTS, PREPROCESSOR))


def package_from_hf(folder: Path) -> ModelPackage:
    """Read a folder in Hugging Face format.

    Raises:
        PackageInvalid: a file is missing, the architecture is not known, or it names code of its own.
    """
    config = read_object(folder / CONFIG)
    model_type = config.get("model_type")
    if architecture_of(config) is not None:
        return package_from_generative(folder)
    if model_type in PROMPTABLE_TYPES:
        return package_from_promptable(folder)
    steps = read_object(folder / PREPROCESSOR)
    if "auto_map" in config or "auto_map" in steps:
        raise PackageInvalid(f"{folder}: `auto_map` names code that comes with the model, which is not run")
    if model_type not in MODEL_TYPES:
        raise PackageInvalid(
            f"{folder / CONFIG}: model_type {model_type!r} is not one of "
            f"{', '.join((*MODEL_TYPES, *GENERATIVE_TYPES, *PROMPTABLE_TYPES))}"
        )
    if not (folder / WEIGHTS).is_file():
        raise PackageInvalid(f"{folder}: no {WEIGHTS}; pickled and sharded weights are not read: save it again in one")
    family, task = MODEL_TYPES[model_type]
    steps = {"size": _SIZES.get(model_type, _SIZE)} | steps
    hashes = {name: file_sha256(folder / name) for name in (CONFIG, PREPROCESSOR, WEIGHTS)}
    network = NetworkInput(canvas_hw(model_type, steps, folder), _mode(steps))
    return ModelPackage(
        package_id=folder.name,
        model_id=folder.name,
        kind="hf",
        architecture=model_type,
        family=family,
        task=task,
        weights=folder / WEIGHTS,
        quantization=_PRECISIONS.get(str(config.get("dtype") or config.get("torch_dtype")), "unknown"),
        class_names=_class_names(config, folder),
        config=InferenceConfig(network),
        digest=digest_of(hashes),
        files=hashes,
        module=(model_type, steps),
    )


def canvas_hw(model_type: str, steps: Mapping[str, Any], folder: Path) -> tuple[int, int]:
    """Height and width that every picture of a model comes in, so that a batch is what its pictures are alone.

    A model that keeps the aspect ratio pads to a square of its longest edge (or to its `pad_size`), under a mask.

    Raises:
        PackageInvalid: sizes that make no canvas.
    """
    size = steps["size"]
    keys = ("height", "width")
    if isinstance(size, Mapping) and all(isinstance(size.get(key), int) for key in keys):
        return size["height"], size["width"]
    pad, longest = steps.get("pad_size"), size.get("longest_edge") if isinstance(size, Mapping) else None
    if model_type not in MASKED or not isinstance(longest, int) or not isinstance(size.get("shortest_edge"), int):
        raise PackageInvalid(
            f"{folder / PREPROCESSOR}: size is {size!r}; {model_type} needs a fixed height and width here, since "
            "it has no mask for what is padded"
        )
    if isinstance(pad, Mapping) and all(isinstance(pad.get(key), int) and pad[key] >= longest for key in keys):
        return pad["height"], pad["width"]
    return longest, longest


def _mode(steps: Mapping[str, Any]) -> ResizeMode:
    return ResizeMode.STRETCH if "height" in steps["size"] else ResizeMode.LETTERBOX


def _class_names(config: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Names by class id; one that repeats (`N/A` in COCO's gaps) gets its number."""
    labels = config.get("id2label")
    if not isinstance(labels, Mapping) or set(labels) != {str(index) for index in range(len(labels))} or not labels:
        raise PackageInvalid(f"{folder / CONFIG}: id2label must name the classes 0, 1, 2 ..., found {labels!r:.200}")
    names = [str(labels[str(index)]) for index in range(len(labels))]
    return tuple(f"{name} {index}" if names.index(name) != index else name for index, name in enumerate(names))
