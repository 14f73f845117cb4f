"""PyTorch: eager family modules filled from safetensors, TorchScript archives and exported programs (`.pt2`).

The last two are executable files (see `parts/torch_artifacts.py`); negotiation refuses them without trust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from inference_engine.backends import installed, lower_precisions
from inference_engine.backends.parts.batches import count_of, filled_up
from inference_engine.backends.parts.graph_runner import GraphRunner, TorchCuda
from inference_engine.backends.parts.torch_artifacts import compiled, load_artifact
from inference_engine.backends.parts.torch_runs import failures, run_on_cpu, threads_a_run, use_threads
from inference_engine.errors import SessionFailed
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


def switches(package: ModelPackage, device: str) -> tuple[str, ...]:
    """Free sides may stay free; eager modules may be laid out otherwise and compiled; runs on a GPU recorded."""
    eager = ("channels_last", "compile") if package.kind == "torch" else ()
    return ("rectangular", *eager, *(() if device == "cpu" else ("cuda_graphs",)))


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
        self._threads = threads_a_run(torch, options)
        self._layout = torch.channels_last if options.channels_last else torch.contiguous_format
        self._module, self._dtype, self._lowered = load_artifact(torch, package, self._device, options)
        hw = package.config.network_input.hw
        self.inputs = network_inputs(package, (None, None) if options.rectangular else hw)
        examples = [self._example(spec, hw) for spec in self.inputs]
        if options.compile and package.kind == "torch":
            once = partial(self._once, examples=examples)
            self._module = compiled(torch, self._module, once, falls_back=options.falls_back)
        self._runner = self._graph_runner(options) if device != "cpu" else None
        self._names: tuple[str, ...] = ()
        self.outputs = self._describe(examples)

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
        with failures(self._torch, f"torch on {self._device}, batch of {count}"):
            if self._runner:
                arrays = self._runner.run([self._torch.from_numpy(value) for value in inputs.values()])
            else:
                arrays = run_on_cpu(self._torch, self._threads, self._call, self._on_cpu(inputs))
        return {name: array[:count] for name, array in zip(self._names, arrays, strict=True)}

    def close(self) -> None:
        """Drop the module, which frees its memory."""
        self._module = None
        if self._runner:
            self._runner.close()

    def _on_cpu(self, inputs: Tensors) -> list[Any]:
        return [self._placed(self._torch.from_numpy(filled_up(value, self._static))) for value in inputs.values()]

    def _placed(self, value: Any) -> Any:
        if value.ndim == 4:
            return value.to(self._dtype, memory_format=self._layout)
        return value.to(self._dtype) if value.is_floating_point() else value

    def _example(self, spec: TensorSpec, hw: tuple[int, int]) -> Any:
        """Zeros that an input takes; free sides of pictures are the package's."""
        rest = (size or side for size, side in zip(spec.shape[1:], (3, *hw), strict=False))
        zeros = self._torch.zeros((self._static or 1, *rest), dtype=self._type(spec), device=self._device)
        return self._placed(zeros)

    def _type(self, spec: TensorSpec) -> Any:
        """What an input is on the device: numbers of pictures in the module's own precision."""
        found = getattr(self._torch, spec.dtype)
        return self._dtype if found.is_floating_point else found

    def _once(self, module: Any, examples: Sequence[Any]) -> Any:
        """Call a module as every run will."""
        use_threads(self._torch, self._threads)
        with self._torch.inference_mode(), self._precision():
            return module(*examples)

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
            TorchCuda(self._torch, self._device, self._layout),
            self._call,
            [self._type(spec) for spec in self.inputs],
            max_batch_size=self._max_batch_size,
            static=self._static,
            graphs=options.cuda_graphs,
        )

    def _describe(self, examples: Sequence[Any]) -> tuple[TensorSpec, ...]:
        """What comes out, by one run: PyTorch's artefacts do not say it themselves."""
        try:
            found = named_outputs(self._once(self._module, examples))
        except Exception as error:
            shapes = ", ".join(
                f"{spec.name} {tuple(value.shape)}" for spec, value in zip(self.inputs, examples, strict=True)
            )
            raise SessionFailed(f"torch on {self._device} cannot run {shapes}: {error}") from error
        self._names = tuple(found)
        return tuple(
            TensorSpec(name, (self._static, *(None for _ in value.shape[1:])), "float32")
            for name, value in found.items()
        )


def network_inputs(package: ModelPackage, sides: tuple[int | None, int | None]) -> tuple[TensorSpec, ...]:
    """What a module takes, in order: pictures, unless it is a part for something else, and what the recipe says."""
    pictures = TensorSpec("images", (package.static_batch_size, 3, *sides), "float32")
    return (*((pictures,) if package.takes_pictures else ()), *package.more_inputs)


def named_outputs(output: Any) -> dict[str, Any]:
    """Outputs by name: a dict's own, else `output0`, `output1` ... in order; what is no tensor is left out."""
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items() if hasattr(value, "is_floating_point")}
    values = list(output) if isinstance(output, list | tuple) else [output]
    return {f"output{index}": value for index, value in enumerate(values) if hasattr(value, "is_floating_point")}
