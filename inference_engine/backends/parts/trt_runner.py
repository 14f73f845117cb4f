"""Runs of one engine: padded batch buckets, fixed buffers, one stream, one recorded graph a bucket.

Each bucket has an execution context of its own, and all share one scratch memory: a recorded graph is bound to its
context (TensorRT docs, "Performance best practices", CUDA graphs), and only one runs at a time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from inference_engine.backends.parts.batches import bucket_of, count_of
from inference_engine.backends.parts.trt_engine import Edges, Profile, choose_profile, told
from inference_engine.errors import OutOfMemory, SessionFailed
from inference_engine.sessions import Array, Tensors, TensorSpec

if TYPE_CHECKING:
    from inference_engine.backends.parts.cudart import Cuda

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Edge:
    """Buffers of one tensor in one bucket."""

    spec: TensorSpec
    host: Array
    device: int


@dataclass(slots=True)
class Bucket:
    """A context with its shapes and addresses set, and its recording once there is one."""

    context: Any
    inputs: Sequence[Edge]
    outputs: Sequence[Edge]
    recording: int | None = None


class PlanRunner:
    """Runs batches, one at a time, from any thread."""

    def __init__(self, trt: Any, engine: Any, edges: Edges, cuda: Cuda, log: Any, *, graphs: bool) -> None:
        self._trt, self._engine, self._edges, self._cuda, self._log = trt, engine, edges, cuda, log
        self.records = graphs
        self._buckets: dict[tuple[int, ...], Bucket] = {}
        self._scratch: tuple[int, int] | None = None
        self._lock = threading.Lock()

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch; the caller owns the answers.

        Raises:
            SessionFailed, OutOfMemory.
        """
        count = count_of(inputs)
        profile = choose_profile(self._edges.profiles, count)
        size = max(profile.smallest, bucket_of(count, profile.largest))
        with self._lock:
            self._cuda.use()
            bucket = self._bucket(profile, size, inputs)
            for edge in bucket.inputs:
                _stage(edge.host, inputs[edge.spec.name])
                self._cuda.to_device(edge.device, edge.host)
            self._execute(bucket)
            for edge in bucket.outputs:
                self._cuda.to_host(edge.host, edge.device)
            self._cuda.synchronize()
            return {edge.spec.name: edge.host[:count].copy() for edge in bucket.outputs}

    def close(self) -> None:
        """Drop contexts, recordings and memory."""
        with self._lock:
            self._buckets.clear()
            self._cuda.close()

    def _bucket(self, profile: Profile, size: int, inputs: Tensors) -> Bucket:
        shapes = {spec.name: _full_shape(spec, size, inputs) for spec in self._edges.inputs}
        key = (profile.index, *(side for shape in shapes.values() for side in shape))
        if key not in self._buckets:
            context = self._context(profile)
            for name, shape in shapes.items():
                self._check(context.set_input_shape(name, shape), f"the shape {shape} of {name!r}")
            if missing := context.infer_shapes():
                raise SessionFailed(f"the plan leaves the shapes of {', '.join(missing)} open")
            self._buckets[key] = Bucket(
                context,
                [self._edge(context, spec) for spec in self._edges.inputs],
                [self._edge(context, spec) for spec in self._edges.outputs],
            )
        return self._buckets[key]

    def _context(self, profile: Profile) -> Any:
        context = self._engine.create_execution_context(self._trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        if context is None:
            raise OutOfMemory(f"TensorRT made no execution context: {told(self._log)}")
        if self._scratch is None:
            size = max(1, int(self._engine.device_memory_size_v2))
            self._scratch = self._cuda.allocate(size), size
        context.set_device_memory(*self._scratch)
        if self._engine.num_optimization_profiles > 1:
            done = context.set_optimization_profile_async(profile.index, self._cuda.stream)
            self._check(done, f"profile {profile.index}")
            self._cuda.synchronize()
        return context

    def _edge(self, context: Any, spec: TensorSpec) -> Edge:
        shape = tuple(int(side) for side in context.get_tensor_shape(spec.name))
        if min(shape) < 1:
            raise SessionFailed(
                f"tensor {spec.name!r} has shape {shape}: outputs whose size depends on values cannot run"
            )
        nbytes = prod(shape) * np.dtype(spec.dtype).itemsize
        host = self._cuda.pinned(nbytes).view(spec.dtype).reshape(shape)
        edge = Edge(spec, host, self._cuda.allocate(nbytes))
        self._check(context.set_tensor_address(spec.name, edge.device), f"the address of {spec.name!r}")
        return edge

    def _execute(self, bucket: Bucket) -> None:
        if bucket.recording is not None:
            self._cuda.replay(bucket.recording)
            return
        # The first run after a change of shapes does work that a recording must not hold.
        self._enqueue(bucket)
        if not self.records:
            return
        self._cuda.synchronize()
        try:
            bucket.recording = self._cuda.record(lambda: self._enqueue(bucket))
        except OutOfMemory:
            raise
        except SessionFailed as error:
            logger.warning("CUDA graphs are off for this plan, it runs without: %s", error)
            self.records = False

    def _enqueue(self, bucket: Bucket) -> None:
        self._check(bucket.context.execute_async_v3(self._cuda.stream), "the run")

    def _check(self, done: bool, what: str) -> None:
        if not done:
            raise SessionFailed(f"TensorRT refused {what}: {told(self._log)}")


def _full_shape(spec: TensorSpec, size: int, inputs: Tensors) -> tuple[int, ...]:
    if spec.name not in inputs:
        raise SessionFailed(f"the plan takes {spec.name!r}, found {', '.join(inputs)}")
    shape = (size, *inputs[spec.name].shape[1:])
    agree = len(shape) == len(spec.shape) and all(w in (None, s) for s, w in zip(shape, spec.shape, strict=True))
    if not agree:
        raise SessionFailed(f"{spec.name!r} has shape {inputs[spec.name].shape}, the plan takes {spec.shape}")
    return shape


def _stage(host: Array, value: Array) -> None:
    np.copyto(host[: len(value)], value, casting="same_kind")
    host[len(value) :] = 0
