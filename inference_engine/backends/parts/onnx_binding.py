"""Runs of one ONNX Runtime session on a GPU: fixed buffers for each padded batch size, bound once.

Without bindings every run allocates its inputs on the device. Host memory is not page-locked: ONNX Runtime's Python
interface has none to offer.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from inference_engine.backends.parts.batches import bucket_of, count_of, kept_slot
from inference_engine.sessions import Array, Tensors, TensorSpec


@dataclass(frozen=True, slots=True)
class Slot:
    """A binding and its buffers.

    Attributes:
        staging: inputs on the host, which are filled.
        inputs: inputs on the device, which the run reads.
        free: outputs whose size the graph alone knows; the runtime's arena has them, and they are bound for each run.
    """

    binding: Any
    staging: dict[str, Array]
    inputs: dict[str, Any]
    free: tuple[str, ...]


class BoundRuns:
    """Runs batches on one device, one at a time, from any thread.

    Args:
        onnxruntime: the module.
        session: its `InferenceSession`.
        edges: inputs and outputs of the session.
        static: the only batch size that the session takes; None: any up to `max_batch_size`.
    """

    def __init__(
        self,
        onnxruntime: Any,
        session: Any,
        edges: tuple[Sequence[TensorSpec], Sequence[TensorSpec]],
        device_id: int,
        *,
        max_batch_size: int,
        static: int | None,
    ) -> None:
        self._onnxruntime, self._session, self._device_id = onnxruntime, session, device_id
        self._inputs, self._outputs = edges
        self._maximum, self._static = max_batch_size, static
        self._slots: OrderedDict[tuple[tuple[int, ...], ...], Slot] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, inputs: Tensors) -> list[Array]:
        """Run one batch.

        Returns:
            Arrays `(n, ...)` in the order of the outputs; the caller owns them.
        """
        count = count_of(inputs)
        size = self._static or bucket_of(count, self._maximum)
        shapes = tuple((size, *inputs[spec.name].shape[1:]) for spec in self._inputs)
        with self._lock:
            slot = kept_slot(self._slots, shapes, lambda: self._slot(shapes))
            for name, staging in slot.staging.items():
                staging[:count] = inputs[name]
                staging[count:] = 0
                slot.inputs[name].update_inplace(staging)
            for name in slot.free:
                slot.binding.bind_output(name, "cuda", self._device_id)
            self._session.run_with_iobinding(slot.binding)
            return [value.numpy()[:count] for value in slot.binding.get_outputs()]

    def close(self) -> None:
        """Drop every buffer."""
        with self._lock:
            self._slots.clear()

    def _slot(self, shapes: Sequence[tuple[int, ...]]) -> Slot:
        binding = self._session.io_binding()
        staging, inputs, free = {}, {}, []
        for spec, shape in zip(self._inputs, shapes, strict=True):
            staging[spec.name] = np.zeros(shape, spec.dtype)
            inputs[spec.name] = self._on_device(shape, spec.dtype)
            binding.bind_ortvalue_input(spec.name, inputs[spec.name])
        # Outputs come back in the order in which they are bound here; binding a name again keeps its place.
        for spec in self._outputs:
            if (shape_known := _known_shape(spec, shapes[0][0])) is not None:
                binding.bind_ortvalue_output(spec.name, self._on_device(shape_known, spec.dtype))
            else:
                binding.bind_output(spec.name, "cuda", self._device_id)
                free.append(spec.name)
        return Slot(binding, staging, inputs, tuple(free))

    def _on_device(self, shape: tuple[int, ...], dtype: str) -> Any:
        made = self._onnxruntime.OrtValue.ortvalue_from_shape_and_type
        return made(list(shape), np.dtype(dtype).type, "cuda", self._device_id)


def _known_shape(spec: TensorSpec, size: int) -> tuple[int, ...] | None:
    """The shape of an output for a batch of `size`; None where the file leaves anything but the batch free."""
    sides = tuple(side for side in spec.shape[1:] if side is not None)
    is_known = bool(spec.shape) and len(sides) == len(spec.shape) - 1 and spec.shape[0] in (None, size)
    return (size, *sides) if is_known else None
