"""Vision-language models in Hugging Face format as packages: what their folder must hold, and their settings.

Settings that `preprocessor_config.json` leaves out are the image processor's own defaults (transformers 5).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference_engine.errors import PackageInvalid
from inference_engine.hf_tokens import TEMPLATES, TOKENIZER, TOKENIZER_CONFIG
from inference_engine.inference_config import InferenceConfig, NetworkInput
from inference_engine.package_files import digest_of, file_sha256, read_object
from inference_engine.packages import ModelPackage
from inference_engine.tasks import prompting, text_ocr

FAMILY = "hf_generative"
CONFIG, WEIGHTS, SHARDS = "config.json", "model.safetensors", "model.safetensors.index.json"
PREPROCESSOR, PROCESSOR = "preprocessor_config.json", "processor_config.json"
_OTHERS = (PREPROCESSOR, PROCESSOR, TOKENIZER, *TEMPLATES, "generation_config.json")
#: Answers at once where nothing else is said: each keeps its own cache of keys and values on the device.
_MAX_BATCH_SIZE = 8
_PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
_BICUBIC, _LANCZOS, _BILINEAR = 3, 1, 2  # PIL.Image.Resampling
_CLIP = {"image_mean": (0.48145466, 0.4578275, 0.40821073), "image_std": (0.26862954, 0.26130258, 0.27577711)}
_HALF = {"image_mean": (0.5, 0.5, 0.5), "image_std": (0.5, 0.5, 0.5)}
_ALWAYS = {"do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, "resample": _BICUBIC}
_SIGLIP = _ALWAYS | _HALF | {"size": {"height": 224, "width": 224}}
_QWEN = _ALWAYS | _CLIP | {
    "size": {"shortest_edge": 56 * 56, "longest_edge": 28 * 28 * 1280},
    "patch_size": 14,
    "merge_size": 2,
    "temporal_patch_size": 2,
    "counts_frames": False,
}  # fmt: skip
_GLM = _QWEN | {"size": {"shortest_edge": 112 * 112, "longest_edge": 28 * 28 * 15000}, "counts_frames": True}
_TILES = {"crop_to_patches": True, "min_patches": 1, "max_patches": 12, "size": {"height": 384, "width": 384}}
_SPLITS = {
    "resample": _LANCZOS,
    "size": {"longest_edge": 4 * 364},
    "max_image_size": {"longest_edge": 364},
    "do_image_splitting": True,
}
_PAGE = {
    "resample": _BILINEAR,
    "size": {"height": 2560, "width": 1920},
    "do_align_long_axis": False,
}
#: architecture -> the settings of its image processor; each is tested against transformers itself.
STEPS: Mapping[str, Mapping[str, Any]] = {
    "florence2": _ALWAYS | _CLIP | {"size": {"height": 768, "width": 768}},
    "paligemma": _SIGLIP,
    "gemma3": _SIGLIP | {"resample": _BILINEAR, "size": {"height": 896, "width": 896}},
    "internvl": _ALWAYS | _CLIP | _TILES,
    "smolvlm": _ALWAYS | _HALF | _SPLITS,
    "idefics3": _ALWAYS | _HALF | _SPLITS,
    "qwen2_vl": _QWEN,
    "qwen2_5_vl": _QWEN,
    "qwen3_vl": _QWEN,
    "glm_ocr": _GLM,
    "trocr": _ALWAYS | _HALF | {"resample": _BILINEAR, "size": {"height": 384, "width": 384}},
    "donut": _ALWAYS | _HALF | _PAGE,
}
#: The encoder's model_type -> the name of a `vision-encoder-decoder` here, whose two halves have types of their own.
_BY_ENCODER = {"vit": "trocr", "deit": "trocr", "donut-swin": "donut"}
_TASKS = {"trocr": text_ocr.TASK}


def architecture_of(config: Mapping[str, Any]) -> str | None:
    """The architecture of a `config.json` by which models that write are told apart here; None for other models."""
    name = config.get("model_type")
    if name == "vision-encoder-decoder":
        encoder = config.get("encoder")
        name = _BY_ENCODER.get(str(encoder.get("model_type"))) if isinstance(encoder, Mapping) else None
    return name if name in STEPS else None


@dataclass(frozen=True, slots=True)
class GenerativeSettings:
    """What a folder says of its model.

    Attributes:
        config: `config.json`.
        steps: of the image processor, filled up with its defaults.
        processor: `processor_config.json` or, in older folders, the same keys of `preprocessor_config.json`.
    """

    config: Mapping[str, Any]
    steps: Mapping[str, Any]
    processor: Mapping[str, Any]


def settings_of(package: ModelPackage) -> GenerativeSettings:
    """The settings of a package that `package_from_generative` made."""
    if package.module is None:
        raise PackageInvalid(f"{package.package_id} is not a model that writes in Hugging Face format")
    return GenerativeSettings(**package.module[1])


def package_from_generative(folder: Path) -> ModelPackage:
    """Read a folder of a model that writes.

    Raises:
        PackageInvalid: a file is missing, or the weights are quantised in a way that is not read here.
    """
    config = read_object(folder / CONFIG)
    architecture = architecture_of(config)
    if architecture is None:
        raise PackageInvalid(
            f"{folder / CONFIG}: expected one of {', '.join(STEPS)}, found {config.get('model_type')!r}"
        )
    settings = _settings(folder, config, STEPS[architecture])
    if "quantization_config" in config:
        raise PackageInvalid(
            f"{folder / CONFIG}: quantization_config names weights that are quantised by another library, which is not "
            "read here; use the model's float16, bfloat16 or float32 weights"
        )
    weights, files = _files(folder)
    hashes = {name: file_sha256(folder / name) for name in files}
    return ModelPackage(
        package_id=folder.name,
        model_id=folder.name,
        kind="hf",
        architecture=architecture,
        family=FAMILY,
        task=_TASKS.get(architecture, prompting.TASK),
        weights=weights,
        quantization=_PRECISIONS.get(str(config.get("dtype") or config.get("torch_dtype")), "unknown"),
        class_names=(),
        config=InferenceConfig(NetworkInput((0, 0)), max_batch_size=_MAX_BATCH_SIZE),
        digest=digest_of(hashes),
        files=hashes,
        module=(
            architecture,
            {"config": settings.config, "steps": settings.steps, "processor": settings.processor},
        ),
        weights_bytes=sum((folder / name).stat().st_size for name in files if name.endswith(".safetensors")),
    )


def _settings(folder: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> GenerativeSettings:
    steps = read_object(folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    processor = read_object(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
    for name, given in (("config.json", config), (PREPROCESSOR, steps), (PROCESSOR, processor)):
        if "auto_map" in given:
            raise PackageInvalid(f"{folder / name}: `auto_map` names code that comes with the model, which is not run")
    # Newer folders keep the image processor's settings within the processor's.
    nested = processor.get("image_processor")
    said = {**steps, **(nested if isinstance(nested, Mapping) else {})}
    filled = {**defaults, **{name: value for name, value in said.items() if value is not None}}
    if "min_pixels" in said and "max_pixels" in said:
        filled["size"] = {"shortest_edge": said["min_pixels"], "longest_edge": said["max_pixels"]}
    if not isinstance(filled["size"], Mapping) or not set(defaults["size"]) <= set(filled["size"]):
        raise PackageInvalid(
            f"{folder / PREPROCESSOR}: size is {filled['size']!r}, expected {', '.join(defaults['size'])}"
        )
    if filled.get("do_center_crop") or filled.get("do_pan_and_scan"):
        raise PackageInvalid(
            f"{folder / PREPROCESSOR}: do_center_crop and do_pan_and_scan are not done here; expected false"
        )
    return GenerativeSettings(config, filled, {**steps, **processor})


def _files(folder: Path) -> tuple[Path, list[str]]:
    """The weights and the names of all files that count."""
    if not (folder / TOKENIZER).is_file():
        raise PackageInvalid(f"{folder}: no {TOKENIZER}; save the fast tokenizer beside the weights")
    others = [name for name in dict.fromkeys((CONFIG, *_OTHERS, TOKENIZER_CONFIG)) if (folder / name).is_file()]
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS, [*others, WEIGHTS]
    if not (folder / SHARDS).is_file():
        raise PackageInvalid(f"{folder}: no {WEIGHTS} and no {SHARDS}; pickled weights are not read: save it again")
    places = read_object(folder / SHARDS).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, Mapping) else []
    if not names or any("/" in name or not (folder / name).is_file() for name in names):
        raise PackageInvalid(f"{folder / SHARDS}: weight_map must name safetensors files of this folder, found {names}")
    return folder / SHARDS, [*others, SHARDS, *names]
