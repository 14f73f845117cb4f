"""The seam between a runtime (ONNX Runtime, TensorRT, PyTorch ...) and everything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[np.generic]
Tensors: TypeAlias = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of one input or output.

    Attributes:
        shape: with the batch axis first; None where the size is free.
        dtype: numpy's name, for example `float32`.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How a session shares the machine.

    Attributes:
        threads: threads within one run on a CPU; 0 leaves it to the runtime.
        concurrency: runs that may be under way at once on a CPU.
        precision: of the arithmetic, one that the backend's offer names for the package; None: the package's own.
        compile_cache: folder where a runtime may keep what it compiled; None: it compiles each time.
        rectangular: whether a free height and width stay free; else they are fixed at the package's size where the
            runtime gains by it.
        channels_last: whether an eager PyTorch module holds pictures with their channels last.
        compile: whether PyTorch compiles an eager module.
        cuda_graphs: whether a GPU replays recorded runs, one recording a padded batch size.
        falls_back: whether a module that cannot be compiled runs eager, with a logged reason; False: SessionFailed, so
            that whoever measures does not measure something else.
        execution_providers: ONNX Runtime's, best first; empty: the one of the device.
        provider_options: by execution provider; they win over the defaults of the backend `onnx`.
    """

    threads: int = 0
    concurrency: int = 1
    precision: str | None = None
    compile_cache: Path | None = None
    rectangular: bool = False
    channels_last: bool = True
    compile: bool = False
    cuda_graphs: bool = True
    falls_back: bool = True
    execution_providers: tuple[str, ...] = ()
    provider_options: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)


class Session(Protocol):
    """A loaded artefact: named tensors in, named tensors out, no image knowledge at all."""

    @property
    def inputs(self) -> Sequence[TensorSpec]:
        """What `run` takes, in the artefact's order."""
        ...

    @property
    def outputs(self) -> Sequence[TensorSpec]:
        """What `run` gives, in the artefact's order."""
        ...

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most; a static artefact takes exactly this many, padding included."""
        ...

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once, from as many threads."""
        ...

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Run one batch.

        Args:
            inputs: by input name, each `(n, ...)` with the same n <= max_batch_size.

        Returns:
            By output name, each `(n, ...)`; the caller owns them.

        Raises:
            OutOfMemory: the device had no room; a smaller batch may fit.
            SessionFailed: the runtime raised.
        """
        ...

    def close(self) -> None:
        """Free what the session holds; it is not used again."""
        ...
