"""More images than a run takes: cut into runs, filled up to the fewest that one takes, joined again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from inference_engine.backends.parts.batches import count_of, filled_up
from inference_engine.errors import ParameterInvalid, SessionFailed
from inference_engine.sessions import Array, Tensors


def generate_batch_chunks(inputs: Tensors, max_batch_size: int) -> Iterator[dict[str, Array]]:
    """Views of at most so many images each, in order.

    Raises:
        ParameterInvalid: the size is no positive whole number.
        SessionFailed: the tensors differ in their number of images, or there are none.
    """
    _check_size(max_batch_size, "max_batch_size")
    count = count_of(inputs)
    for start in range(0, count, max_batch_size):
        yield {name: value[start : start + max_batch_size] for name, value in inputs.items()}


def run_in_batches(
    run: Callable[[Tensors], Tensors], inputs: Tensors, *, max_batch_size: int, min_batch_size: int = 1
) -> dict[str, Array]:
    """Run any number of images through what takes between `min_batch_size` and `max_batch_size` of them.

    Args:
        run: such as a session's `run`.
        inputs: by name, each `(n, ...)`; short runs are filled up with zeros.

    Returns:
        By output name, each `(n, ...)`.

    Raises:
        ParameterInvalid: sizes that cannot be.
        SessionFailed: an output has not one entry an image; or what `run` raises.
    """
    _check_size(min_batch_size, "min_batch_size")
    if min_batch_size > max_batch_size:
        raise ParameterInvalid(f"min_batch_size {min_batch_size} is above max_batch_size {max_batch_size}")
    parts: list[dict[str, Array]] = []
    for chunk in generate_batch_chunks(inputs, max_batch_size):
        count = count_of(chunk)
        size = max(count, min_batch_size)
        outputs = run({name: filled_up(value, size) for name, value in chunk.items()})
        if wrong := {name: value.shape for name, value in outputs.items() if value.shape[:1] != (size,)}:
            raise SessionFailed(f"expected outputs with one entry for each of {size} images, found {wrong}")
        parts.append({name: value[:count] for name, value in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def run_onnx_session_with_batch_size_limit(
    session: Any, inputs: Tensors, min_batch_size: int | None = None, max_batch_size: int | None = None
) -> dict[str, Array]:
    """`run_in_batches` for an `onnxruntime.InferenceSession`; None is no limit.

    Raises:
        ParameterInvalid, SessionFailed.
    """
    names = [output.name for output in session.get_outputs()]

    def run(feed: Tensors) -> dict[str, Array]:
        try:
            return dict(zip(names, session.run(names, dict(feed)), strict=True))
        except Exception as error:
            raise SessionFailed(f"onnxruntime, batch of {count_of(feed)}: {error}") from error

    fewest = 1 if min_batch_size is None else min_batch_size
    most = max(count_of(inputs), fewest) if max_batch_size is None else max_batch_size
    return run_in_batches(run, inputs, max_batch_size=most, min_batch_size=fewest)


def _check_size(size: Any, name: str) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ParameterInvalid(f"{name} must be a positive whole number, found {size!r}")
