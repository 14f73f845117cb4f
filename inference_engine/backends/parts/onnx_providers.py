"""ONNX Runtime's execution providers: which ones a session asks for, with what, and whether it got them. Pure.

Options: ONNX Runtime documentation, "CUDA Execution Provider" and "TensorRT Execution Provider", Configurations.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from inference_engine.errors import SessionFailed

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage
    from inference_engine.sessions import SessionOptions, TensorSpec

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
#: Kind of device -> what is asked for where the options say nothing.
USUAL = {"cpu": (CPU,), "cuda": (CUDA,)}
#: What runs on an NVIDIA GPU, and so takes its index and buffers in its memory.
ON_CUDA = (CUDA, TENSORRT)

Chosen = list[tuple[str, dict[str, str]]]


def choose_providers(
    package: ModelPackage, inputs: Sequence[TensorSpec], device: str, options: SessionOptions
) -> Chosen:
    """Names and options, best first; the CPU comes last, for what the others lack.

    Raises:
        SessionFailed: a provider does not run on the device.
    """
    kind, _, index = device.partition(":")
    names = options.execution_providers or USUAL.get(kind, ())
    on_cuda = [name for name in names if name in ON_CUDA]
    if kind not in USUAL or bool(on_cuda) != (kind == "cuda"):
        raise SessionFailed(f"onnxruntime on {device} cannot use {', '.join(names) or 'any provider'}")
    defaults: dict[str, dict[str, str]] = {
        # Full precision means it: TensorFloat-32 keeps 10 bits, and is on otherwise.
        CUDA: {"device_id": index or "0", "use_tf32": "0"},
        TENSORRT: {"device_id": index or "0", **_tensorrt(package, inputs, options)},
    }
    ordered = [*names, *(() if CPU in names else (CPU,))]
    return [(name, {**defaults.get(name, {}), **options.provider_options.get(name, {})}) for name in ordered]


def check_providers(chosen: Chosen, found: Sequence[str], device: str) -> None:
    """Refuse a session that lacks what it was to run on.

    Where CUDA's or TensorRT's libraries do not load, ONNX Runtime takes the next provider and only writes a line to its
    log.

    Raises:
        SessionFailed: the first provider is not there.
    """
    wanted = chosen[0][0]
    if wanted not in found:
        raise SessionFailed(
            f"onnxruntime cannot use {device}: {wanted} does not load, it would run on {', '.join(found)}; "
            "install onnxruntime-gpu and the CUDA, cuDNN and TensorRT libraries that its release names"
        )


def _tensorrt(package: ModelPackage, inputs: Sequence[TensorSpec], options: SessionOptions) -> dict[str, str]:
    """Engines are kept where compiled files go; lower precisions only where they were asked for."""
    precision = options.precision or package.quantization
    found = {f"trt_{name}_enable": "1" for name in ("fp16", "bf16", "int8") if name == precision}
    if options.compile_cache is not None:
        # The provider names its engines by the graph and not by its weights: one folder a package keeps them apart.
        folder = str(options.compile_cache / "onnxruntime-tensorrt" / package.digest[:16])
        found |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
        found |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
    return found | _profiles(package, inputs, is_free=options.rectangular)


def _profiles(package: ModelPackage, inputs: Sequence[TensorSpec], *, is_free: bool) -> dict[str, str]:
    """Smallest, usual and largest batch, so that no batch size builds an engine again; none where sides are free."""
    if is_free or package.static_batch_size or len(inputs) != 1:
        return {}
    sides = "x".join(map(str, (3, *package.config.network_input.hw)))
    sizes = {"min": 1, "opt": package.max_batch_size, "max": package.max_batch_size}
    return {f"trt_profile_{name}_shapes": f"{inputs[0].name}:{size}x{sides}" for name, size in sizes.items()}
