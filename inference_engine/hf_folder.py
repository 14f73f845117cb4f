"""A folder in Hugging Face format as a package: `config.json`, `model.safetensors`, `preprocessor_config.json`.

Only JSON is read. Weights must be safetensors, and a folder whose configuration names code of its own is refused.
What each architecture does stands in `hf_architectures`, the steps of its pictures in `hf_processors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.hf_architectures import Row, row_of
from inference_engine.hf_generative import architecture_of, package_from_generative
from inference_engine.hf_poses import PERSON, skeleton_of
from inference_engine.hf_processors import Steps, read_steps
from inference_engine.hf_promptable import STEPS as PROMPTABLE_TYPES
from inference_engine.hf_promptable import package_from_promptable
from inference_engine.hf_sizes import Size, fixed_hw
from inference_engine.inference_config import InferenceConfig, NetworkInput, ResizeMode
from inference_engine.package_files import read_object
from inference_engine.packages import ModelPackage, digest_of, file_sha256
from inference_engine.tasks import depth, embedding, keypoints, open_vocabulary

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
#: Where the steps of pictures stand, best first; in the last one below a key of their own.
_STEPS_FILES = ("video_preprocessor_config.json", PREPROCESSOR, "processor_config.json")
_STEPS_KEYS = ("video_processor", "image_processor")
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
#: Tasks whose results have no classes, or those that a call names.
_WITHOUT_NAMES = frozenset({depth.TASK, embedding.TASK, open_vocabulary.TASK})
#: What transformers writes of a model whose classes have no names: nothing, which means these two.
_UNNAMED = {"0": "LABEL_0", "1": "LABEL_1"}
#: Height and width that stand for an input that follows the picture, whatever it is.
_ANY_HW = (480, 640)
_SIDES = ("height", "width")


@dataclass(frozen=True, slots=True)
class HfSettings:
    """What the backend and the families read of a folder.

    Attributes:
        row: how its architecture runs.
        steps: of its pictures, as `hf_processors.read_steps` gives them.
        config: `config.json`.
    """

    row: Row
    steps: Steps
    config: Mapping[str, Any]


def is_hf_folder(path: Path) -> bool:
    """Whether a folder looks like a model in Hugging Face format."""
    return (path / CONFIG).is_file() and any((path / name).is_file() for name in (WEIGHTS, PREPROCESSOR))


def package_from_hf(folder: Path, task: str | None = None) -> ModelPackage:
    """Read a folder in Hugging Face format.

    Args:
        task: one of those that the architecture can do; None: its first.

    Raises:
        PackageInvalid: a file is missing, the architecture is not known, or it names code of its own.
    """
    config = read_object(folder / CONFIG)
    model_type = str(config.get("model_type"))
    if architecture_of(config) is not None:
        return package_from_generative(folder)
    if model_type in PROMPTABLE_TYPES:
        return package_from_promptable(folder)
    steps_file, given = _said_steps(folder)
    if "auto_map" in config or "auto_map" in given:
        raise PackageInvalid(f"{folder}: `auto_map` names code that comes with the model, which is not run")
    row = row_of(config, str(folder / CONFIG))
    task = task if task in row.tasks else row.tasks[0]
    if not (folder / WEIGHTS).is_file():
        raise PackageInvalid(f"{folder}: no {WEIGHTS}; pickled and sharded weights are not read: save it again in one")
    steps = read_steps(given, row.processor, str(folder / steps_file))
    hashes = {name: file_sha256(folder / name) for name in (CONFIG, steps_file, WEIGHTS)}
    skeleton = skeleton_of(config, str(folder / CONFIG)) if task == keypoints.TASK else None
    return ModelPackage(
        package_id=folder.name,
        model_id=folder.name,
        kind="hf",
        architecture=model_type,
        family=row.family,
        task=task,
        weights=folder / WEIGHTS,
        quantization=_PRECISIONS.get(str(config.get("dtype") or config.get("torch_dtype")), "unknown"),
        class_names=(PERSON,) if skeleton else () if task in _WITHOUT_NAMES else _class_names(config, folder),
        config=InferenceConfig(_network(row, steps, folder)),
        digest=digest_of(hashes),
        files=hashes,
        module=(model_type, {"row": row, "steps": steps, "config": config}),
        skeletons=(skeleton,) if skeleton else (),
        key_point_places=len(skeleton.names) if skeleton else 0,
    )


def settings_of(package: ModelPackage) -> HfSettings:
    """What a folder of this format says.

    Raises:
        PackageInvalid: the package is of another format.
    """
    if package.kind != "hf" or package.module is None:
        raise PackageInvalid(f"{package.package_id} is a {package.kind} package, expected a Hugging Face folder")
    return HfSettings(**package.module[1])


def _said_steps(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """The file that says what is done to pictures, and what it says.

    Raises:
        PackageInvalid: there is none, or it says nothing of them.
    """
    name = next((name for name in _STEPS_FILES if (folder / name).is_file()), PREPROCESSOR)
    given = read_object(folder / name)
    if name != _STEPS_FILES[-1]:
        return name, given
    found = next((given[key] for key in _STEPS_KEYS if isinstance(given.get(key), Mapping)), None)
    if found is None:
        raise PackageInvalid(f"{folder / name}: expected the steps of pictures below {' or '.join(_STEPS_KEYS)}")
    return name, found


def _network(row: Row, steps: Steps, folder: Path) -> NetworkInput:
    """Height and width of every picture; where they follow the picture, its own, and only equal ones share a batch."""
    if (fixed := fixed_hw(steps)) is not None:
        return NetworkInput(fixed, ResizeMode.STRETCH)
    if row.is_masked:
        return NetworkInput(_canvas(steps, folder), ResizeMode.LETTERBOX)
    return NetworkInput(_ANY_HW, ResizeMode.FIT_LONGER_EDGE, is_dynamic=True)


def _canvas(steps: Steps, folder: Path) -> Size:
    """Height and width that every picture of a model comes in, so that a batch is what its pictures are alone.

    A model that keeps the aspect ratio pads to a square of its longest edge (or to its `pad_size`), under a mask.
    """
    size, pad = steps["size"], steps.get("pad_size")
    longest = size.get("longest_edge")
    if longest is None or "shortest_edge" not in size:
        raise PackageInvalid(
            f"{folder / PREPROCESSOR}: size is {size!r}; expected height and width, or shortest_edge and longest_edge"
        )
    if isinstance(pad, Mapping) and all(isinstance(pad.get(key), int) and pad[key] >= longest for key in _SIDES):
        return pad["height"], pad["width"]
    return longest, longest


def _class_names(config: Mapping[str, Any], folder: Path) -> tuple[str, ...]:
    """Names by class id; one that repeats (`N/A` in COCO's gaps) gets its number."""
    labels = config.get("id2label", _UNNAMED)
    if not isinstance(labels, Mapping) or set(labels) != {str(index) for index in range(len(labels))} or not labels:
        raise PackageInvalid(f"{folder / CONFIG}: id2label must name the classes 0, 1, 2 ..., found {labels!r:.200}")
    names = [str(labels[str(index)]) for index in range(len(labels))]
    return tuple(f"{name} {index}" if names.index(name) != index else name for index, name in enumerate(names))
