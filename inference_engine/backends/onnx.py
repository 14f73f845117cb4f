"""ONNX Runtime."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from inference_engine.backends import installed
from inference_engine.backends.parts.batches import filled_up
from inference_engine.backends.parts.onnx_binding import BoundRuns
from inference_engine.backends.parts.onnx_providers import check_providers, choose_providers
from inference_engine.errors import EngineError, OutOfMemory, SessionFailed
from inference_engine.negotiation import Offer
from inference_engine.onnx_file import read_onnx_header
from inference_engine.requirements import numbers
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from inference_engine.packages import ModelPackage

#: ONNX Runtime version (major, minor) -> newest operator set that it reads; newer releases only add.
#: Source: ONNX Runtime's compatibility table (docs/reference/compatibility). What is newer than the table is not
#: limited: the runtime's own limit is in its binary, and opening a file tells. What is older has the first row's limit.
_MAX_OPSET = {
    (1, 12): 17,
    (1, 13): 17,
    (1, 14): 18,
    (1, 15): 19,
    (1, 16): 19,
    (1, 17): 20,
    (1, 18): 21,
    (1, 19): 21,
    (1, 20): 21,
    (1, 21): 22,
    (1, 22): 23,
}


def probe(machine: Machine) -> Offer:
    """ONNX Runtime runs on the CPU, and on CUDA where the GPU distribution and a GPU are there."""
    missing = installed(machine, "onnxruntime", 'pip install "nightshift" (onnxruntime is part of it)')
    version = machine.packages.get("onnxruntime")
    providers = {} if missing else _offered(machine)
    devices = tuple(providers)
    return Offer("onnx", frozenset({"onnx"}), version, devices, missing, _max_opset(version), providers=providers)


def _offered(machine: Machine) -> dict[str, tuple[str, ...]]:
    """Execution providers by kind of device, the usual one first, as the distribution and what is beside it say."""
    has_cuda = bool(machine.gpus) and machine.distributions.get("onnxruntime") == "onnxruntime-gpu"
    tensorrt = ("TensorrtExecutionProvider",) if "tensorrt" in machine.packages else ()
    cuda = {"cuda": ("CUDAExecutionProvider", *tensorrt)} if has_cuda else {}
    return {"cpu": ("CPUExecutionProvider",), **cuda}


def switches(package: ModelPackage, device: str) -> tuple[str, ...]:  # noqa: ARG001 (the same for all)
    """Free sides may stay free."""
    return ("rectangular",)


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> OnnxSession:
    """Open an ONNX file."""
    return OnnxSession(import_module("onnxruntime"), package, device, options)


class OnnxSession:
    """One ONNX Runtime session; on a CPU ONNX Runtime itself lets many threads run it at once.

    Args:
        onnxruntime: the module, or what has its names.
    """

    def __init__(self, onnxruntime: Any, package: ModelPackage, device: str, options: SessionOptions) -> None:
        self._max_batch_size = package.max_batch_size
        self._static = package.static_batch_size
        self._concurrency = options.concurrency if device == "cpu" else 1
        chosen = choose_providers(package, read_onnx_header(package.weights).inputs, device, options)
        try:
            # Without its own fallback: it would go on with the CPU after a failure on the GPU, and print to the output.
            self._session = onnxruntime.InferenceSession(
                str(package.weights), _session_options(onnxruntime, options), providers=chosen, enable_fallback=0
            )
        except Exception as error:
            raise SessionFailed(f"onnxruntime cannot open {package.weights}: {error}") from error
        check_providers(chosen, self._session.get_providers(), device)
        self.inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_spec(value) for value in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]
        self._dtypes = {spec.name: spec.dtype for spec in self.inputs}
        self._bound = self._on_gpu(onnxruntime, device) if device != "cpu" else None

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch; a static batch is filled up with zeros and cut again, a float16 input is rounded to."""
        count = len(next(iter(inputs.values())))
        try:
            values = self._bound.run(inputs) if self._bound else self._on_cpu(inputs)
        except EngineError:
            raise
        except Exception as error:
            kind = OutOfMemory if "alloc" in str(error).lower() else SessionFailed
            raise kind(f"onnxruntime, batch of {count}: {error}") from error
        return {name: value[:count] for name, value in zip(self._names, values, strict=True)}

    def close(self) -> None:
        """Drop the runtime's session, which frees its arena."""
        if self._bound is not None:
            self._bound.close()
        self._session = self._bound = None

    def _on_cpu(self, inputs: Tensors) -> list[Array]:
        values: list[Array] = self._session.run(
            self._names, {name: self._prepared(name, value) for name, value in inputs.items()}
        )
        return values

    def _on_gpu(self, onnxruntime: Any, device: str) -> BoundRuns:
        return BoundRuns(
            onnxruntime,
            self._session,
            (self.inputs, self.outputs),
            int(device.partition(":")[2] or 0),
            max_batch_size=self._max_batch_size,
            static=self._static,
        )

    def _prepared(self, name: str, value: Array) -> Array:
        dtype = self._dtypes.get(name)
        return filled_up(value.astype(dtype, copy=False) if dtype == "float16" else value, self._static)


def _session_options(onnxruntime: Any, options: SessionOptions) -> Any:
    made = onnxruntime.SessionOptions()
    made.intra_op_num_threads = options.threads
    made.log_severity_level = 3
    if options.concurrency > 1:
        # Several runs share the cores: threads that spin while they wait would take them from each other.
        made.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return made


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    return TensorSpec(value.name, shape, _DTYPES.get(value.type, value.type))


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}


def _max_opset(version: str | None) -> int | None:
    release = numbers(version or "")
    return _MAX_OPSET.get(max((release[0], release[1]), min(_MAX_OPSET))) if release else None
