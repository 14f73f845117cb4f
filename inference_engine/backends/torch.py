"""PyTorch: eager family modules filled from safetensors, TorchScript archives and exported programs (`.pt2`).

The last two are executable files (see `parts/torch_artifacts.py`); negotiation refuses them without trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from inference_engine.backends import installed, lower_precisions
from inference_engine.backends.parts.batches import count_of, filled_up
from inference_engine.backends.parts.graph_runner import GraphRunner, TorchCuda
from inference_engine.backends.parts.torch_artifacts import compiled, load_artifact
from inference_engine.errors import EngineError, OutOfMemory, SessionFailed
from inference_engine.negotiation import Offer
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from inference_engine.packages import ModelPackage

#: Kinds of packages that this backend opens.
KINDS = frozenset({"torch", "torch-script", "torch-export"})


def probe(machine: Machine) -> Offer:
    """PyTorch runs on the CPU, and on CUDA where its build has it and a GPU is there."""
    missing = installed(machine, "torch", 'pip install "nightshift[torch]"')
    version = machine.packages.get("torch")
    has_cuda = bool(machine.gpus) and "+cpu" not in (version or "")
    devices = () if missing else ("cpu", "cuda") if has_cuda else ("cpu",)
    return Offer("torch", KINDS, version, devices, missing, lowers=lower_precisions(machine, *devices))


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> TorchSession:
    """Load the package's artefact and run it once, on zeros."""
    return TorchSession(package, device, options)


class TorchSession:
    """One module in inference mode. On a CPU several threads may run it; its threads are the process's."""

    def __init__(self, package: ModelPackage, device: str, options: SessionOptions) -> None:
        import torch

        self._torch, self._device = torch, torch.device(device)
        self._max_batch_size, self._static = package.max_batch_size, package.static_batch_size
        self._concurrency = options.concurrency if device == "cpu" else 1
        self._threads = _threads_a_run(torch, options)
        self._module, self._dtype, self._lowered = load_artifact(torch, package, self._device, options)
        shape = (self._static, 3, *package.config.network_input.hw)
        self.inputs = (TensorSpec("images", shape, "float32"),)
        example = torch.zeros((self._static or 1, *shape[1:]), dtype=self._dtype, device=self._device)
        if options.compile and package.kind == "torch":
            self._module = compiled(torch, self._module, example)
        self._runner = self._graph_runner(options) if device != "cpu" else None
        self._names: tuple[str, ...] = ()
        self.outputs = self._describe(example)

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch; a static batch is filled up with zeros and cut again."""
        if self._module is None:
            raise SessionFailed("the session is closed; open the model again")
        count = count_of(inputs)
        values = [self._torch.from_numpy(value) for value in inputs.values()]
        try:
            arrays = self._runner.run(values) if self._runner else self._on_cpu(inputs)
        except EngineError:
            raise
        except Exception as error:
            kind = OutOfMemory if _is_out_of_memory(self._torch, error) else SessionFailed
            raise kind(f"torch on {self._device}, batch of {count}: {error}") from error
        return {name: array[:count] for name, array in zip(self._names, arrays, strict=True)}

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        self._module = None
        if self._runner:
            self._runner.close()

    def _on_cpu(self, inputs: Tensors) -> list[Array]:
        torch = self._torch
        # The number is the calling thread's, and a process may have sessions of several numbers.
        if self._threads and torch.get_num_threads() != self._threads:
            torch.set_num_threads(self._threads)
        with torch.inference_mode():
            values = [self._placed(torch.from_numpy(filled_up(value, self._static))) for value in inputs.values()]
            return [output.float().numpy() for output in self._call(values)]

    def _placed(self, value: Any) -> Any:
        if value.ndim == 4:
            return value.to(self._dtype, memory_format=self._torch.channels_last)
        return value.to(self._dtype) if value.is_floating_point() else value

    def _call(self, values: Sequence[Any]) -> list[Any]:
        with self._precision():
            return list(named_outputs(self._module(*values)).values())

    def _precision(self) -> Any:
        """Convolutions and products in the lower precision; what needs the range or the digits stays in float32."""
        if self._lowered is None:
            return nullcontext()
        return self._torch.autocast(self._device.type, dtype=self._lowered)

    def _graph_runner(self, options: SessionOptions) -> GraphRunner:
        return GraphRunner(
            TorchCuda(self._torch, self._device),
            self._call,
            [self._dtype],
            max_batch_size=self._max_batch_size,
            static=self._static,
            graphs=options.cuda_graphs,
        )

    def _describe(self, example: Any) -> tuple[TensorSpec, ...]:
        """What comes out, by one run: PyTorch's artefacts do not say it themselves."""
        try:
            with self._torch.inference_mode(), self._precision():
                found = named_outputs(self._module(example))
        except Exception as error:
            raise SessionFailed(f"torch on {self._device} cannot run {tuple(example.shape)}: {error}") from error
        self._names = tuple(found)
        return tuple(
            TensorSpec(name, (self._static, *(None for _ in value.shape[1:])), "float32")
            for name, value in found.items()
        )


def named_outputs(output: Any) -> dict[str, Any]:
    """Outputs by name: a dict's own, else `output0`, `output1` ... in order; what is no tensor is left out."""
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items() if hasattr(value, "is_floating_point")}
    values = list(output) if isinstance(output, list | tuple) else [output]
    return {f"output{index}": value for index, value in enumerate(values) if hasattr(value, "is_floating_point")}


def _threads_a_run(torch: Any, options: SessionOptions) -> int:
    """How many threads one run has; 0 leaves it to PyTorch.

    Several runs of one thread beat one run of several threads. Measured, 2 cores, PyTorch 2.13, the starter model in
    fp32: 364 against 149 images/s at batch 1, 474 against 383 at batch 8 (bf16: 503 against 145, 796 against 507).
    """
    if options.threads or options.concurrency == 1:
        return options.threads
    return max(1, int(torch.get_num_threads()) // options.concurrency)


def _is_out_of_memory(torch: Any, error: Exception) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
