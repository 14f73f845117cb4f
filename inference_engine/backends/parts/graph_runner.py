"""One CUDA stream, pinned staging buffers, and recorded runs by padded batch size, for PyTorch functions.

A run on a GPU costs hundreds of kernel launches; a CUDA graph replays them with one. A graph is bound to addresses and
shapes, hence one `Slot` of fixed buffers for each batch bucket (PyTorch docs, "CUDA semantics": CUDA Graphs).
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from inference_engine.backends.parts.batches import bucket_of, kept_slot
from inference_engine.sessions import Array

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: Tensors in, tensors out, both in order.
Function = Callable[[Sequence[Any]], Sequence[Any]]
#: Runs before a recording, so that libraries have chosen their kernels and made their workspaces.
WARM_UPS = 2


class Cuda(Protocol):
    """What the runner needs of a GPU; `TorchCuda` is the real one, tests have one of CPU tensors."""

    def pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        """Make a tensor in page-locked host memory, which the device copies from without waiting."""
        ...

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        """Make a tensor on the device."""
        ...

    def running(self) -> AbstractContextManager[None]:
        """What is called within runs on this device and its one stream."""
        ...

    def record(self, function: Callable[[], Sequence[Any]]) -> tuple[Callable[[], None], Sequence[Any]]:
        """Record one call: what replays it, and the outputs that a replay writes into."""
        ...

    def synchronize(self) -> None:
        """Wait until the stream is idle."""
        ...


@dataclass(slots=True)
class Slot:
    """Fixed buffers of one batch bucket, and its recording once there is one."""

    staging: list[Any]
    inputs: list[Any]
    replay: Callable[[], None] | None = None
    outputs: Sequence[Any] = ()
    answers: Sequence[Any] = ()


class GraphRunner:
    """Runs a function of tensors on one stream; one run at a time, from any thread.

    Args:
        function: device tensors to device tensors; it must not read sizes or values back to the host.
        dtypes: of the function's inputs, as the device has them.
        static: the only batch size that the function takes; None: any up to `max_batch_size`.
        graphs: whether to record; a recording that fails is logged and not tried again.
    """

    def __init__(
        self,
        cuda: Cuda,
        function: Function,
        dtypes: Sequence[Any],
        *,
        max_batch_size: int,
        static: int | None = None,
        graphs: bool = True,
    ) -> None:
        self._cuda, self._function, self._dtypes = cuda, function, dtypes
        self._maximum, self._static = max_batch_size, static
        self.records = graphs
        self._slots: OrderedDict[tuple[tuple[int, ...], ...], Slot] = OrderedDict()
        self._lock = threading.Lock()

    def run(self, values: Sequence[Any]) -> list[Array]:
        """Run one batch.

        Args:
            values: CPU tensors `(n, ...)`, n at most the maximum.

        Returns:
            Arrays `(n, ...)` that the caller owns; half precisions come as float32.
        """
        count = len(values[0])
        size = self._static or bucket_of(count, self._maximum)
        with self._lock, self._cuda.running():
            slot = self._slot([(size, *value.shape[1:]) for value in values])
            _stage(slot, values, count)
            self._call(slot)
            for answer, output in zip(slot.answers, slot.outputs, strict=True):
                answer.copy_(output, non_blocking=True)
            self._cuda.synchronize()
            return [_widened(answer[:count]).numpy().copy() for answer in slot.answers]

    def close(self) -> None:
        """Drop every buffer and recording."""
        with self._lock:
            self._slots.clear()

    def _slot(self, shapes: Sequence[tuple[int, ...]]) -> Slot:
        def make() -> Slot:
            staging = [self._cuda.pinned(shape, dtype) for shape, dtype in zip(shapes, self._dtypes, strict=True)]
            return Slot(staging, [self._cuda.empty(s, dtype) for s, dtype in zip(shapes, self._dtypes, strict=True)])

        return kept_slot(self._slots, tuple(shapes), make)

    def _call(self, slot: Slot) -> None:
        if slot.replay is None and self.records:
            self._record(slot)
        if slot.replay is not None:
            slot.replay()
        else:
            slot.outputs = self._function(slot.inputs)
        if not slot.answers:
            slot.answers = [self._cuda.pinned(output.shape, output.dtype) for output in slot.outputs]

    def _record(self, slot: Slot) -> None:
        for _ in range(WARM_UPS):
            self._function(slot.inputs)
        self._cuda.synchronize()
        try:
            slot.replay, slot.outputs = self._cuda.record(lambda: self._function(slot.inputs))
        except MemoryError:
            raise
        except Exception as error:
            if "out of memory" in str(error).lower():
                raise
            logger.warning("CUDA graphs are off for this session, it runs eager: %s", error)
            self.records = False
            self._cuda.synchronize()


def _stage(slot: Slot, values: Sequence[Any], count: int) -> None:
    for staging, device, value in zip(slot.staging, slot.inputs, values, strict=True):
        staging[:count].copy_(value)
        staging[count:].zero_()
        device.copy_(staging, non_blocking=True)


def _widened(tensor: Any) -> Any:
    return tensor.float() if str(tensor.dtype) in ("torch.bfloat16", "torch.float16") else tensor


class TorchCuda:
    """A device and one stream of it, by `torch.cuda`.

    Args:
        layout: memory format of batches of pictures on the device; None: as PyTorch has it.
    """

    def __init__(self, torch: Any, device: Any, layout: Any = None) -> None:
        self._torch, self._device, self._layout = torch, device, layout
        self._stream = torch.cuda.Stream(device)

    def pinned(self, shape: Sequence[int], dtype: Any) -> Any:
        """Make a tensor in page-locked host memory."""
        return self._torch.empty(tuple(shape), dtype=dtype, pin_memory=True)

    def empty(self, shape: Sequence[int], dtype: Any) -> Any:
        """Make a tensor on the device, in the layout where it is a batch of pictures."""
        tensor = self._torch.empty(tuple(shape), dtype=dtype, device=self._device)
        return tensor.to(memory_format=self._layout) if self._layout is not None and tensor.ndim == 4 else tensor

    @contextmanager
    def running(self) -> Iterator[None]:
        """Enter inference mode, the device and the stream."""
        with self._torch.inference_mode(), self._torch.cuda.device(self._device), self._torch.cuda.stream(self._stream):
            yield

    def record(self, function: Callable[[], Sequence[Any]]) -> tuple[Callable[[], None], Sequence[Any]]:
        """Record one call into a CUDA graph; other threads may use CUDA meanwhile."""
        graph = self._torch.cuda.CUDAGraph()
        with self._torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            outputs = function()
        return graph.replay, outputs

    def synchronize(self) -> None:
        """Wait for the stream."""
        self._stream.synchronize()
