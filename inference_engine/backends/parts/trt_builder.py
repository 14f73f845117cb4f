"""ONNX package to TensorRT package: build a plan on this machine's GPU and write the folder.

TensorRT 10 chooses precisions by builder flags; 11 has none of them and takes every precision from the graph (strong
typing: NVIDIA's guide "TensorRT 10.x to 11.x migration"), so a lower one is made in the ONNX file before.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference_engine.backends.parts.trt_engine import make_logger, told
from inference_engine.backends.parts.trt_plan import TRT_CONFIG
from inference_engine.errors import PackageInvalid, SessionFailed
from inference_engine.packages import CONFIG_FILE, file_sha256

if TYPE_CHECKING:
    from inference_engine.machine import Gpu
    from inference_engine.packages import ModelPackage

PLAN = "engine.plan"
_COPIED = ("class_names.txt", "inference_config.json")


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """How a plan is built.

    Attributes:
        precision: `fp32`, `fp16` or `bf16`.
        batches: smallest, most usual and largest batch of an ONNX file whose batch is free.
        workspace_bytes: memory that the builder may try algorithms with.
        compatibility: one of `requirements.COMPATIBILITY`; more than `none` costs speed.
        version_compatible: whether newer TensorRT may read the plan; it then holds host code, and is slower.
    """

    precision: str = "fp32"
    batches: tuple[int, int, int] = (1, 8, 32)
    workspace_bytes: int = 4 << 30
    compatibility: str = "none"
    version_compatible: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.batches[0] <= self.batches[1] <= self.batches[2]:
            raise PackageInvalid(f"batches must be smallest <= usual <= largest, from 1 on, found {self.batches}")


def compile_package(trt: Any, package: ModelPackage, target: Path, gpu: Gpu, options: BuildOptions) -> Path:
    """Build a plan of an ONNX package and write a package folder around it.

    Args:
        target: a folder that does not exist yet.

    Raises:
        PackageInvalid: not a package folder with an ONNX file, or `target` is there.
        SessionFailed: TensorRT refused the graph or the options.
    """
    source = package.weights.parent
    if package.kind != "onnx" or not (source / CONFIG_FILE).is_file():
        raise PackageInvalid(f"{package.package_id}: expected an ONNX package folder, found kind {package.kind!r}")
    if target.exists():
        raise PackageInvalid(f"{target} is there already; name another folder, or remove it")
    plan = build_plan(trt, package, options)
    partial = target.with_name(f".{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    (partial / PLAN).write_bytes(plan)
    for name in _COPIED:
        shutil.copyfile(source / name, partial / name)
    _write(partial / TRT_CONFIG, _trt_config(trt, package, gpu, options, partial / PLAN))
    _write_batches(partial / "inference_config.json", package, options)
    _write(partial / CONFIG_FILE, _model_config(package, target.name, partial, options))
    partial.rename(target)
    return target


def build_plan(trt: Any, package: ModelPackage, options: BuildOptions) -> bytes:
    """Parse the ONNX file and let TensorRT build a plan for the GPU at hand.

    Raises:
        SessionFailed: TensorRT refused, with its words.
    """
    log = make_logger(trt)
    builder = trt.Builder(log)
    choose_flags, network_flags = _precision(trt, package, options)
    network = builder.create_network(network_flags)
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(package.weights)):
        words = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors)) or told(log)
        raise SessionFailed(f"TensorRT does not read {package.weights}: {words}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, options.compatibility.upper())
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    choose_flags(config)
    if package.static_batch_size is None:
        config.add_optimization_profile(_profile(builder, network, options.batches))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise SessionFailed(f"TensorRT built no plan of {package.weights}: {told(log)}")
    return bytes(plan)


def _precision(trt: Any, package: ModelPackage, options: BuildOptions) -> tuple[Callable[[Any], None], int]:
    """What sets the precision on the builder's configuration, and the flags of the network."""
    if int(trt.__version__.partition(".")[0]) >= 11:
        if options.precision != package.quantization:
            raise SessionFailed(
                f"TensorRT {trt.__version__} takes precisions from the graph, and {package.package_id} is "
                f"{package.quantization}, not {options.precision}: convert the ONNX file first (NVIDIA ModelOpt, "
                "AutoCast), or build with TensorRT 10"
            )
        return lambda config: _full_fp32(trt, config, options), 1 << int(
            trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        )
    return lambda config: _flags_of_10(trt, config, options), 0


def _flags_of_10(trt: Any, config: Any, options: BuildOptions) -> None:
    flags = {"fp16": "FP16", "bf16": "BF16"}
    if options.precision in flags:
        config.set_flag(getattr(trt.BuilderFlag, flags[options.precision]))
    elif options.precision != "fp32":
        raise SessionFailed(f"precision {options.precision!r} is not one of fp32, fp16, bf16")
    _full_fp32(trt, config, options)


def _full_fp32(trt: Any, config: Any, options: BuildOptions) -> None:
    """TensorRT may use TF32, of 10 bits, for float32 unless told otherwise."""
    if options.precision == "fp32":
        config.clear_flag(trt.BuilderFlag.TF32)


def _profile(builder: Any, network: Any, batches: tuple[int, int, int]) -> Any:
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        rest = [int(size) for size in tensor.shape][1:]
        if min(rest, default=1) < 1:
            raise SessionFailed(
                f"input {tensor.name!r} has free sizes {rest} beside its batch; fix them in the ONNX file"
            )
        smallest, usual, largest = ((size, *rest) for size in batches)
        profile.set_shape(tensor.name, smallest, usual, largest)
    return profile


def _trt_config(trt: Any, package: ModelPackage, gpu: Gpu, options: BuildOptions, plan: Path) -> dict[str, Any]:
    static = package.static_batch_size
    names = ("dynamic_batch_size_min", "dynamic_batch_size_opt", "dynamic_batch_size_max")
    return {
        **({"static_batch_size": static} if static else dict(zip(names, options.batches, strict=True))),
        "trt_version": trt.__version__,
        "device_name": gpu.name,
        "compute_capability": gpu.compute_capability,
        "hardware_compatibility": options.compatibility,
        "version_compatible": options.version_compatible,
        "host_code": options.version_compatible,
        "plan_sha256": file_sha256(plan),
    }


def _write_batches(path: Path, package: ModelPackage, options: BuildOptions) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    static = package.static_batch_size
    largest = None if static else options.batches[2]
    _write(path, data | {"forward_pass": {"static_batch_size": static, "max_dynamic_batch_size": largest}})


def _model_config(package: ModelPackage, name: str, folder: Path, options: BuildOptions) -> dict[str, Any]:
    data = json.loads((package.weights.parent / CONFIG_FILE).read_text(encoding="utf-8"))
    data = {key: value for key, value in data.items() if key not in ("onnx", "module")}
    files = {
        file.name: {"sha256": file_sha256(file), "bytes": file.stat().st_size} for file in sorted(folder.iterdir())
    }
    changed = {"package_id": name, "model_id": package.model_id, "backend_type": "trt", "weights": PLAN}
    return data | changed | {"quantization": options.precision, "files": files}


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
