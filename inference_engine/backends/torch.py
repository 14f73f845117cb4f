"""PyTorch: eager family modules filled from safetensors, in their own precision or a lower one."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from inference_engine.backends import installed, lower_precisions
from inference_engine.errors import OutOfMemory, PackageInvalid, SessionFailed
from inference_engine.negotiation import Offer
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from inference_engine.packages import ModelPackage


def probe(machine: Machine) -> Offer:
    """PyTorch runs on the CPU, and on CUDA where its build has it and a GPU is there."""
    missing = installed(machine, "torch", 'pip install "nightshift[torch]"')
    version = machine.packages.get("torch")
    has_cuda = bool(machine.gpus) and "+cpu" not in (version or "")
    devices = () if missing else ("cpu", "cuda") if has_cuda else ("cpu",)
    return Offer("torch", frozenset({"torch"}), version, devices, missing, lowers=lower_precisions(machine, *devices))


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> TorchSession:
    """Build the package's module and fill it from its safetensors file."""
    return TorchSession(package, device, options)


class TorchSession:
    """One module in inference mode. On a CPU several threads may run it; its threads are the process's."""

    def __init__(self, package: ModelPackage, device: str, options: SessionOptions) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)
        self._max_batch_size = package.max_batch_size
        self._concurrency = options.concurrency if device == "cpu" else 1
        self._threads = options.threads
        self._lowered = _DTYPES.get(options.precision or "") if options.precision != package.quantization else None
        self._module = _filled(package).eval().to(self._device)
        if self._lowered:
            self._module = _lower(torch, self._module, getattr(torch, self._lowered))
        height, width = package.config.network_input.hw
        self.inputs = (TensorSpec("images", (package.static_batch_size, 3, height, width), "float32"),)
        self.outputs = (TensorSpec("output0", (package.static_batch_size, None, None), "float32"),)

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch."""
        torch = self._torch
        try:
            self._claim_threads()
            with torch.inference_mode(), self._precision():
                output = self._module(*map(self._prepared, inputs.values()))
                return {"output0": output.float().cpu().numpy()}
        except Exception as error:
            kind = OutOfMemory if _is_out_of_memory(torch, error) else SessionFailed
            raise kind(f"torch on {self._device}: {error}") from error

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        self._module = None

    def _claim_threads(self) -> None:
        # The number is the calling thread's, and a process may have sessions of several numbers.
        if self._threads and self._torch.get_num_threads() != self._threads:
            self._torch.set_num_threads(self._threads)

    def _precision(self) -> Any:
        """Convolutions and products in the lower precision; what needs the range or the digits stays in float32."""
        if not self._lowered:
            return nullcontext()
        return self._torch.autocast(self._device.type, dtype=getattr(self._torch, self._lowered))

    def _prepared(self, value: Array) -> Any:
        tensor = self._torch.from_numpy(value).to(self._device)
        is_picture = self._lowered and tensor.ndim == 4
        return tensor.contiguous(memory_format=self._torch.channels_last) if is_picture else tensor


_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


def _lower(torch: Any, module: Any, dtype: Any) -> Any:
    """Channels last, and the weights of convolutions and products cast once instead of at every run."""
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear)
    for part in module.modules():
        if isinstance(part, kinds):
            part.to(dtype)
    return module.to(memory_format=torch.channels_last)


def _filled(package: ModelPackage) -> Any:
    from safetensors.torch import load_file

    from inference_engine.backends.modules import build_module

    if package.module is None or package.weights.suffix != ".safetensors":
        raise PackageInvalid(f"{package.package_id}: a torch package names its `module` and has a .safetensors file")
    module = build_module(*package.module)
    try:
        module.load_state_dict(load_file(package.weights), strict=True)
    except Exception as error:
        raise PackageInvalid(f"{package.weights} does not fill module {package.module[0]}: {error}") from error
    return module


def _is_out_of_memory(torch: Any, error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
