"""The few calls of the CUDA runtime that a TensorRT plan needs, by ctypes, so that no other framework has to be there.

Signatures: CUDA Runtime API reference, sections 6.3 (streams), 6.10 (memory) and 6.30 (graphs); the same in 12 and 13.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from inference_engine.errors import OutOfMemory, SessionFailed
from inference_engine.sessions import Array

#: cudaMemcpyKind, cudaStreamCaptureMode and cudaError_t of the CUDA headers.
_HOST_TO_DEVICE, _DEVICE_TO_HOST, _NON_BLOCKING, _THREAD_LOCAL, _NO_MEMORY = 1, 2, 1, 1, 2
#: Every function that is called here; the contract test looks them up in a real library.
FUNCTIONS = (
    "cudaSetDevice",
    "cudaMalloc",
    "cudaFree",
    "cudaMallocHost",
    "cudaFreeHost",
    "cudaMemcpyAsync",
    "cudaStreamCreateWithFlags",
    "cudaStreamSynchronize",
    "cudaStreamDestroy",
    "cudaStreamBeginCapture",
    "cudaStreamEndCapture",
    "cudaGraphInstantiateWithFlags",
    "cudaGraphLaunch",
    "cudaGraphDestroy",
    "cudaGraphExecDestroy",
    "cudaGetErrorString",
)


class Cuda(Protocol):
    """One device and one stream of it."""

    @property
    def stream(self) -> int:
        """The stream's handle."""
        ...

    def use(self) -> None:
        """Make the device that of the calling thread."""
        ...

    def allocate(self, nbytes: int) -> int:
        """Give the address of memory on the device."""
        ...

    def pinned(self, nbytes: int) -> Array:
        """Give page-locked host memory, `(nbytes,)` uint8."""
        ...

    def to_device(self, address: int, source: Array) -> None:
        """Queue a copy; `source` is pinned."""
        ...

    def to_host(self, target: Array, address: int) -> None:
        """Queue a copy; `target` is pinned."""
        ...

    def record(self, work: Callable[[], None]) -> int:
        """Record what `work` queues, without running it; the handle of what replays it."""
        ...

    def replay(self, recording: int) -> None:
        """Queue a recording."""
        ...

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        ...

    def close(self) -> None:
        """Free all that was given."""
        ...


def load_cudart() -> Any:
    """The CUDA runtime library: the one of NVIDIA's wheels, else the system's.

    Raises:
        SessionFailed: there is none.
    """
    for name in _candidates():
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SessionFailed("libcudart is not found; it comes with TensorRT's wheels: pip install nvidia-cuda-runtime")


def _candidates() -> Iterator[str]:
    for folder in map(Path, sys.path):
        yield from map(str, sorted(folder.glob("nvidia/*/lib/libcudart.so.*"), reverse=True))
    yield from ("libcudart.so.13", "libcudart.so.12")
    if found := ctypes.util.find_library("cudart"):
        yield found


class CudaRuntime:
    """`Cuda` by the real library. Not for two threads at once; its owner has a lock."""

    def __init__(self, library: Any, device: int) -> None:
        self._library, self._device = library, device
        self._given: list[tuple[str, int]] = []
        library.cudaGetErrorString.restype = ctypes.c_char_p
        self.use()
        handle = ctypes.c_void_p()
        self._call("cudaStreamCreateWithFlags", ctypes.byref(handle), ctypes.c_uint(_NON_BLOCKING))
        self._stream = handle

    @property
    def stream(self) -> int:
        """The stream's handle."""
        return self._stream.value or 0

    def use(self) -> None:
        """Make the device that of the calling thread."""
        self._call("cudaSetDevice", ctypes.c_int(self._device))

    def allocate(self, nbytes: int) -> int:
        """Give the address of memory on the device."""
        return self._memory("cudaMalloc", "cudaFree", nbytes)

    def pinned(self, nbytes: int) -> Array:
        """Give page-locked host memory, `(nbytes,)` uint8."""
        address = self._memory("cudaMallocHost", "cudaFreeHost", nbytes)
        return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))

    def to_device(self, address: int, source: Array) -> None:
        """Queue a copy."""
        self._copy(address, source.ctypes.data, source.nbytes, _HOST_TO_DEVICE)

    def to_host(self, target: Array, address: int) -> None:
        """Queue a copy."""
        self._copy(target.ctypes.data, address, target.nbytes, _DEVICE_TO_HOST)

    def record(self, work: Callable[[], None]) -> int:
        """Record what `work` queues on the stream."""
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cudaStreamBeginCapture", self._stream, ctypes.c_int(_THREAD_LOCAL))
        try:
            work()
        finally:
            # The stream stays unusable until its capture has ended, whatever happened within.
            self._call("cudaStreamEndCapture", self._stream, ctypes.byref(graph))
        self._call("cudaGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        self._call("cudaGraphDestroy", graph)
        self._given.append(("cudaGraphExecDestroy", executable.value or 0))
        return executable.value or 0

    def replay(self, recording: int) -> None:
        """Queue a recording."""
        self._call("cudaGraphLaunch", ctypes.c_void_p(recording), self._stream)

    def synchronize(self) -> None:
        """Wait until everything queued is done."""
        self._call("cudaStreamSynchronize", self._stream)

    def close(self) -> None:
        """Free all that was given, the newest first, then the stream."""
        for function, handle in reversed(self._given):
            getattr(self._library, function)(ctypes.c_void_p(handle))
        self._given.clear()
        if self._stream:
            self._library.cudaStreamDestroy(self._stream)
            self._stream = ctypes.c_void_p()

    def _memory(self, function: str, free: str, nbytes: int) -> int:
        address = ctypes.c_void_p()
        self._call(function, ctypes.byref(address), ctypes.c_size_t(nbytes))
        self._given.append((free, address.value or 0))
        return address.value or 0

    def _copy(self, target: int, source: int, nbytes: int, kind: int) -> None:
        sizes = ctypes.c_size_t(nbytes), ctypes.c_int(kind)
        self._call("cudaMemcpyAsync", ctypes.c_void_p(target), ctypes.c_void_p(source), *sizes, self._stream)

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._library, function)(*arguments)
        if status:
            words = self._library.cudaGetErrorString(ctypes.c_int(status)).decode(errors="replace")
            raise (OutOfMemory if status == _NO_MEMORY else SessionFailed)(f"{function}: {words} (CUDA error {status})")
