"""Models that cut out what they are shown, SAM and SAM 2, in Hugging Face format as packages.

Settings that `preprocessor_config.json` leaves out are the image processor's own defaults (transformers 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.package_files import digest_of, file_sha256, read_object
from inference_engine.packages import ModelPackage
from inference_engine.tasks import promptable_segmentation

FAMILY = "hf_promptable"
CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
#: Pictures at once where nothing else is said: what they become is kept in the device's memory.
_MAX_BATCH_SIZE = 8
_BILINEAR = 2  # PIL.Image.Resampling
_ALWAYS = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": (0.485, 0.456, 0.406),
    "image_std": (0.229, 0.224, 0.225),
    "resample": _BILINEAR,
}
_SAM = _ALWAYS | {"size": {"longest_edge": 1024}, "pad_size": {"height": 1024, "width": 1024}}
_SAM2 = _ALWAYS | {"size": {"height": 1024, "width": 1024}}
#: config.json's model_type -> the settings of its image processor; SAM 2 is published as `sam2_video` too.
STEPS: Mapping[str, Mapping[str, Any]] = {"sam": _SAM, "sam2": _SAM2, "sam2_video": _SAM2}


def steps_of(package: ModelPackage) -> Mapping[str, Any]:
    """The settings of a package that `package_from_promptable` made."""
    if package.module is None:
        raise PackageInvalid(f"{package.package_id} is not a promptable model in Hugging Face format")
    return package.module[1]


def package_from_promptable(folder: Path) -> ModelPackage:
    """Read a folder of SAM or SAM 2.

    Raises:
        PackageInvalid: a file is missing, or names code of its own, or a size that makes no canvas.
    """
    config, said = read_object(folder / CONFIG), read_object(folder / PREPROCESSOR)
    if "auto_map" in config or "auto_map" in said:
        raise PackageInvalid(f"{folder}: `auto_map` names code that comes with the model, which is not run")
    if not (folder / WEIGHTS).is_file():
        raise PackageInvalid(f"{folder}: no {WEIGHTS}; pickled and sharded weights are not read: save it again in one")
    architecture = str(config["model_type"])
    steps = {**STEPS[architecture], **{name: value for name, value in said.items() if value is not None}}
    canvas = steps["pad_size"] if architecture == "sam" else steps["size"]
    if not isinstance(canvas, Mapping) or not {"height", "width"} <= set(canvas):
        raise PackageInvalid(f"{folder / PREPROCESSOR}: expected a canvas of a height and a width, found {canvas!r}")
    hashes = {name: file_sha256(folder / name) for name in (CONFIG, PREPROCESSOR, WEIGHTS)}
    network = NetworkInput((canvas["height"], canvas["width"]))
    return ModelPackage(
        package_id=folder.name,
        model_id=folder.name,
        kind="hf",
        architecture=architecture,
        family=FAMILY,
        task=promptable_segmentation.TASK,
        weights=folder / WEIGHTS,
        quantization=_PRECISIONS.get(str(config.get("dtype") or config.get("torch_dtype")), "unknown"),
        class_names=(),
        config=InferenceConfig(network, max_batch_size=_MAX_BATCH_SIZE),
        digest=digest_of(hashes),
        files=hashes,
        module=(architecture, steps),
    )
