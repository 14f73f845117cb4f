"""Fakes for tests of code that uses the engine: no file, no runtime, every failure on demand."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from inference_engine.errors import OutOfMemory, SessionFailed
from inference_engine.sessions import Array, Tensors, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ScriptedSession"]


class ScriptedSession:
    """A `Session` that answers every image with a given raw output.

    Args:
        answer: one image's raw output, or a function of that image's input tensor that gives it.
        input_hw: height and width of the network's input in pixels.
        max_batch_size: images a run takes at most.
        concurrency: runs that may be under way at once.
        marked: says of one image's input tensor `(3, H, W)` whether a batch with it raises SessionFailed.
        fits: images that the pretended memory holds; a larger batch raises OutOfMemory. None: any number.

    Attributes:
        batch_sizes: images of every run that was asked for, those that raised included, in order.
    """

    def __init__(
        self,
        answer: Array | Callable[[Array], Array],
        *,
        input_hw: tuple[int, int] = (32, 32),
        max_batch_size: int = 8,
        concurrency: int = 1,
        marked: Callable[[Array], bool] = lambda _: False,
        fits: int | None = None,
    ) -> None:
        self._answer = answer if callable(answer) else (lambda _: answer)
        self._max_batch_size, self._concurrency = max_batch_size, concurrency
        self._marked, self._fits = marked, fits
        self.inputs: Sequence[TensorSpec] = (TensorSpec("images", (None, 3, *input_hw), "float32"),)
        self.outputs: Sequence[TensorSpec] = (TensorSpec("output0", (None, None, None), "float32"),)
        self.batch_sizes: list[int] = []
        self.is_closed = False

    @property
    def max_batch_size(self) -> int:
        """Images a run takes at most."""
        return self._max_batch_size

    @property
    def concurrency(self) -> int:
        """Runs that may be under way at once."""
        return self._concurrency

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Answer each image of a batch, or raise as the script says."""
        images = next(iter(inputs.values()))
        self.batch_sizes.append(len(images))
        if self.is_closed:
            raise SessionFailed("the session is closed")
        if self._fits is not None and len(images) > self._fits:
            raise OutOfMemory(f"{len(images)} images, and memory for {self._fits}")
        if any(self._marked(image) for image in images):
            raise SessionFailed(f"a marked image in a batch of {len(images)}")
        return {self.outputs[0].name: np.stack([self._answer(image) for image in images])}

    def close(self) -> None:
        """Refuse every further run."""
        self.is_closed = True
