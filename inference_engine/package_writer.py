"""Making a package folder from what people have: a bare ONNX file, an archive of torch, weights, a Hugging Face folder.

The folder is written beside its place, read again as any package is, and only then renamed into its place.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from inference_engine.architectures import family_of
from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.exported_onnx import package_from_onnx
from inference_engine.hf_folder import package_from_hf
from inference_engine.onnx_contents import external_files
from inference_engine.onnx_file import read_onnx_header
from inference_engine.package_files import CONFIG_FILE, hash_files, read_object
from inference_engine.package_sections import KIND_NAMES
from inference_engine.packages import SCHEMA_VERSION, ModelPackage, read_package
from inference_engine.skeletons import FILE as SKELETONS_FILE
from inference_engine.skeletons import skeleton_entries
from inference_engine.tasks import classification
from inference_engine.tasks.keypoints import Skeleton

#: Suffix of a file -> kind of package, and the name that it gets.
ARTEFACTS = {
    ".onnx": ("onnx", "model.onnx"),
    ".torchscript": ("torch-script", "model.torchscript"),
    ".pt2": ("torch-export", "model.pt2"),
    ".safetensors": ("torch", "model.safetensors"),
    ".engine": ("trt", "model.engine"),
    ".plan": ("trt", "model.plan"),
}
#: What YOLOv8-style exports are fed with (ultralytics LetterBox, docs of 8.x).
_YOLO = {"resize_mode": "letterbox", "padding_value": 114, "scaling_factor": 255}
#: Files of a Hugging Face folder that would be unpickled or run; they are left out.
_NOT_COPIED = ("*.bin", "*.pt", "*.pth", "*.py", "*.pkl", "*.msgpack", "*.h5", ".*")


@dataclass(frozen=True, slots=True)
class NewPackage:
    """What the caller says of a package; None where the source says it itself.

    Attributes:
        model_id: name of the model; its folder's too.
        package_id: name of the package; None: `<kind>-<precision>`.
        size: height and width of the network's input.
        module: name and arguments of the eager module that safetensors fill.
        inference: sections of `inference_config.json` that replace the usual ones.
    """

    model_id: str
    package_id: str | None = None
    task: str | None = None
    architecture: str | None = None
    class_names: tuple[str, ...] | None = None
    size: tuple[int, int] | None = None
    quantization: str | None = None
    module: tuple[str, Mapping[str, Any]] | None = None
    inference: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Draft:
    """Files by the name that they get, and what the two configurations say."""

    files: Mapping[str, Path]
    config: dict[str, Any]
    class_names: Sequence[str]
    inference: Mapping[str, Any]
    skeletons: Sequence[Skeleton] = ()


def add_package(source: Path, dest: Path, new: NewPackage) -> ModelPackage:
    """Make `<dest>/<model id>/<package id>` from a file or a Hugging Face folder, and read it back.

    Raises:
        ParameterInvalid: something must be said that the source does not say; the message names it.
        PackageInvalid: the source cannot be used, or the package exists already.
    """
    draft = _draft(source, new)
    name = new.package_id or f"{draft.config['backend_type']}-{draft.config['quantization']}"
    target = dest / new.model_id / name
    if target.exists():
        raise PackageInvalid(f"{target} exists already; remove it first, or give the package another id")
    draft.config.update(model_id=new.model_id, package_id=f"{new.model_id.rpartition('/')[2]}-{name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(prefix=".adding-", dir=target.parent))
    try:
        _write(draft, working)
        read_package(working)
        working.chmod(0o755)
        working.rename(target)
    except BaseException:
        shutil.rmtree(working, ignore_errors=True)
        raise
    return read_package(target)


def hash_report(folder: Path) -> list[tuple[str, str]]:
    """Each file of a package with what became of it: `ok`, `changed`, `absent`, or `not listed`.

    Raises:
        PackageInvalid: its configuration cannot be read.
    """
    found, listed = hash_files(folder), read_object(folder / CONFIG_FILE).get("files") or {}
    hashes = {name: entry.get("sha256") for name, entry in listed.items() if isinstance(entry, Mapping)}
    report = []
    for name in sorted({*found, *hashes} - {CONFIG_FILE}):
        verdict = "not listed" if name not in hashes else "absent" if name not in found else "ok"
        report.append((name, "changed" if verdict == "ok" and found[name] != hashes[name] else verdict))
    return report


def _write(draft: _Draft, folder: Path) -> None:
    for name, path in draft.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / name)
    (folder / "class_names.txt").write_text("".join(f"{name}\n" for name in draft.class_names), encoding="utf-8")
    if draft.inference:
        _dump(folder / "inference_config.json", draft.inference)
    if draft.skeletons:
        _dump(folder / SKELETONS_FILE, skeleton_entries(draft.skeletons))
    files = {
        name: {"sha256": sha256, "bytes": (folder / name).stat().st_size} for name, sha256 in hash_files(folder).items()
    }
    _dump(folder / CONFIG_FILE, {"schema_version": SCHEMA_VERSION, **draft.config, "files": files})


def _dump(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _draft(source: Path, new: NewPackage) -> _Draft:
    if source.is_dir():
        return _from_hf(source, new)
    if not source.is_file() or source.suffix not in ARTEFACTS:
        raise PackageInvalid(
            f"{source}: expected a file {', '.join(f'*{suffix}' for suffix in ARTEFACTS)} or a Hugging Face folder"
        )
    return _from_onnx(source, new) if source.suffix == ".onnx" else _from_flags(source, new)


def _from_onnx(source: Path, new: NewPackage) -> _Draft:
    """What the caller says wins over what the exporter left inside."""
    header = read_onnx_header(source)
    files = {"model.onnx": source, **external_files(source)}
    package = None
    if new.class_names is None or (new.size is None and None in header.inputs[0].shape[2:]):
        package = package_from_onnx(source, declared=set(files))
        new = _filled_up(new, package)
    shape = header.inputs[0].shape
    fixed = (shape[2], shape[3]) if len(shape) == 4 else (None, None)
    size = new.size or ((fixed[0], fixed[1]) if fixed[0] and fixed[1] else None)
    quantization = new.quantization or ("int8" if header.is_quantized else _FLOATS.get(header.inputs[0].dtype))
    draft = _plain(new, "onnx", files, size, quantization)
    if package is not None and family_of(draft.config["model_architecture"]) not in (None, package.family):
        draft.config["family"] = package.family  # YOLOv5 as newer exporters write it has the head of YOLOv8
    draft.config["onnx"] = {"opset": header.opset}
    static = {"forward_pass": {"static_batch_size": shape[0], "max_dynamic_batch_size": None}} if shape[0] else {}
    inference = {**draft.inference, **static, **new.inference}
    return _Draft(files, draft.config, draft.class_names, inference, package.skeletons if package else ())


_FLOATS = {"float32": "fp32", "float16": "fp16"}


def _filled_up(new: NewPackage, package: ModelPackage) -> NewPackage:
    config = package.config
    fused = {"post_processing": {"type": config.post_processing, "fused": True}} if config.is_fused else {}
    return replace(
        new,
        class_names=new.class_names or package.class_names,
        size=new.size or package.config.network_input.hw,
        architecture=new.architecture or package.architecture,
        task=new.task or package.task,
        inference={**fused, **_classifier_input(package, new), **new.inference},
    )


def _classifier_input(package: ModelPackage, new: NewPackage) -> dict[str, Any]:
    """The network's input where it is not as detectors have it."""
    if package.task != classification.TASK:
        return {}
    network = package.config.network_input
    height, width = new.size or network.hw
    return {
        "network_input": {
            "training_input_size": {"height": height, "width": width},
            "resize_mode": network.resize_mode.value,
            "scaling_factor": network.scaling_factor,
            "antialias": network.antialias,
        }
    }


def _from_flags(source: Path, new: NewPackage) -> _Draft:
    kind, name = ARTEFACTS[source.suffix]
    if kind == "torch" and new.module is None:
        raise ParameterInvalid(f"{source}: safetensors are numbers only; say which module they fill: --module")
    draft = _plain(new, kind, {name: source}, new.size, new.quantization)
    if new.module is not None:
        draft.config["module"] = {"name": new.module[0], "args": dict(new.module[1])}
    return draft


def _plain(
    new: NewPackage, kind: str, files: Mapping[str, Path], size: tuple[int, int] | None, quantization: str | None
) -> _Draft:
    if new.class_names is None:
        raise ParameterInvalid("the file does not say its class names; give them: --classes FILE, one name a line")
    if size is None:
        raise ParameterInvalid("the file does not say its input's size; give it: --size HEIGHTxWIDTH")
    inference = {
        "network_input": {"training_input_size": {"height": size[0], "width": size[1]}, **_YOLO},
        "post_processing": {"type": "nms", "fused": False},
        **new.inference,
    }
    return _Draft(files, _config(new, kind, quantization, next(iter(files))), new.class_names, inference)


def _config(new: NewPackage, kind: str, quantization: str | None, weights: str) -> dict[str, Any]:
    return {
        "model_architecture": new.architecture or "yolov8",
        "task_type": new.task or "object-detection",
        "backend_type": KIND_NAMES.get(kind, kind),
        "quantization": quantization or "unknown",
        "weights": weights,
    }


def _from_hf(source: Path, new: NewPackage) -> _Draft:
    """A folder that `save_pretrained` wrote: it says itself what it is and how pictures come in."""
    package = package_from_hf(source)
    wrong = {name: value for name, value in (("--size", new.size), ("--module", new.module)) if value is not None}
    if wrong:
        raise ParameterInvalid(f"{source} says its input and architecture itself: leave out {', '.join(wrong)}")
    ignored = shutil.ignore_patterns(*_NOT_COPIED)
    names = [path for path in sorted(source.rglob("*")) if path.is_file()]
    left = {path for path in names if ignored(str(path.parent), [path.name]) or path.is_symlink()}
    files = {path.relative_to(source).as_posix(): path for path in names if path not in left}
    said = replace(new, architecture=new.architecture or package.architecture, task=new.task or package.task)
    config = _config(said, "hf", new.quantization or package.quantization, package.weights.name)
    return _Draft(files, config, new.class_names or package.class_names, new.inference)
