"""OpenVINO on the CPU: opens ONNX packages, in float32, bfloat16 where the CPU computes in it, or int8 as quantised."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.backends import installed, lower_precisions
from inference_engine.backends.parts.batches import filled_up
from inference_engine.errors import OutOfMemory, PackageInvalid, SessionFailed
from inference_engine.negotiation import Offer
from inference_engine.sessions import Array, SessionOptions, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.machine import Machine
    from inference_engine.packages import ModelPackage

#: Precision -> OpenVINO's INFERENCE_PRECISION_HINT. A quantised file keeps its integers whatever the hint; what lies
#: between them is left to the runtime, as is a file that does not say what it is.
_HINTS = {"fp32": "f32", "fp16": "f32", "bf16": "bf16"}
#: What the bindings set up at their first use (the table of dtypes, the conversion of an array) hangs for ever when
#: two threads come to it at once: one waits in the set-up for the GIL, which the other holds while it waits for the
#: set-up (seen with 2026.x on Linux). So one session at a time is opened, and it runs once before anybody has it.
_OPENING = threading.Lock()


def probe(machine: Machine) -> Offer:
    """OpenVINO runs on the CPU; its GPU plugins are for devices that are not looked for here."""
    missing = installed(machine, "openvino", 'pip install "nightshift[openvino]"')
    version = machine.packages.get("openvino")
    devices = () if missing else ("cpu",)
    return Offer("openvino", frozenset({"onnx"}), version, devices, missing, lowers=lower_precisions(machine, "cpu"))


def switches(package: ModelPackage, device: str) -> tuple[str, ...]:  # noqa: ARG001 (the same for all)
    """Free sides may stay free."""
    return ("rectangular",)


def open_session(package: ModelPackage, device: str, options: SessionOptions) -> OpenvinoSession:
    """Compile an ONNX file."""
    if device != "cpu":
        raise SessionFailed(f"openvino runs on the CPU here, not on {device}")
    return OpenvinoSession(package, options)


class OpenvinoSession:
    """One compiled model with an infer request for each run that may be under way; a run waits for a free one."""

    def __init__(self, package: ModelPackage, options: SessionOptions) -> None:
        self._max_batch_size, self._static = package.max_batch_size, package.static_batch_size
        self._concurrency = options.concurrency
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._is_closed = False
        with _OPENING:
            try:
                compiled = _compile(package, options)
                requests = [compiled.create_infer_request() for _ in range(options.concurrency)]
            except PackageInvalid:
                raise
            except Exception as error:
                raise SessionFailed(f"openvino cannot open {package.weights}: {error}") from error
            self.inputs = tuple(_spec(value) for value in compiled.inputs)
            self.outputs = tuple(_spec(value) for value in compiled.outputs)
            self._dtypes = {spec.name: spec.dtype for spec in self.inputs}
            self._warm_up(requests, package.config.network_input.hw)

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
        count = len(next(iter(inputs.values())))
        request = self._free.get()
        if request is None:
            self._free.put(None)  # for whoever else waits
            raise SessionFailed("the openvino session is closed: open the model again")
        try:
            return self._infer(request, inputs, count)
        except Exception as error:
            kind = OutOfMemory if "alloc" in str(error).lower() else SessionFailed
            raise kind(f"openvino, batch of {count}: {error}") from error
        finally:
            if not self._is_closed:
                self._free.put(request)

    def close(self) -> None:
        """Drop the infer requests, which hold the compiled model; a run that waits for one is refused."""
        self._is_closed = True
        with suppress(queue.Empty):
            while True:
                self._free.get_nowait()
        self._free.put(None)

    def _infer(self, request: Any, inputs: Tensors, count: int) -> dict[str, Array]:
        feed = {
            name: filled_up(value.astype(self._dtypes[name], copy=False), self._static)
            for name, value in inputs.items()
        }
        # Inputs are read where they lie; outputs are copied, since the request's own memory serves its next run.
        values = request.infer(feed, share_inputs=True, share_outputs=False).to_tuple()
        return {spec.name: value[:count] for spec, value in zip(self.outputs, values, strict=True)}

    def _warm_up(self, requests: list[Any], hw: tuple[int, int]) -> None:
        free = (self._static or 1, 3, *hw)
        feed = {
            spec.name: np.zeros([size or wanted for size, wanted in zip(spec.shape, free, strict=False)], spec.dtype)
            for spec in self.inputs
        }
        for request in requests:
            try:
                request.infer(feed)
            except Exception as error:
                raise SessionFailed(f"openvino opens the file and cannot run it: {error}") from error
            self._free.put(request)


def _compile(package: ModelPackage, options: SessionOptions) -> Any:
    import openvino

    core = openvino.Core()
    if options.compile_cache is not None:
        core.set_property({"CACHE_DIR": str(options.compile_cache)})
    model = core.read_model(str(package.weights))
    if not options.rectangular:
        _fix_sides(model, package)
    return core.compile_model(model, "CPU", _settings(package, options))


def _settings(package: ModelPackage, options: SessionOptions) -> dict[str, Any]:
    """Streams and threads as asked; without threads OpenVINO divides the cores itself."""
    settings: dict[str, Any] = {"NUM_STREAMS": options.concurrency}
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads * options.concurrency
    precision = options.precision or package.quantization
    if precision in _HINTS:
        settings["INFERENCE_PRECISION_HINT"] = _HINTS[precision]
    return settings


def _fix_sides(model: Any, package: ModelPackage) -> None:
    """Say height and width where the file leaves them free: they are known, and known shapes run faster."""
    if len(model.inputs) != 1:
        return
    shape = model.inputs[0].partial_shape
    if shape.rank.is_dynamic or len(shape) != 4 or not (shape[2].is_dynamic or shape[3].is_dynamic):
        return
    shape[2], shape[3] = package.config.network_input.hw
    model.reshape({model.inputs[0]: shape})


def _spec(value: Any) -> TensorSpec:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in value.partial_shape)
    return TensorSpec(value.any_name, shape, np.dtype(value.element_type.to_dtype()).name)
