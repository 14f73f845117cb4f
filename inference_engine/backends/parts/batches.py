"""Batch sizes: which one a run is filled up to, the filling, and the buffers that are kept for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TypeVar

import numpy as np

from inference_engine.errors import SessionFailed
from inference_engine.sessions import Array, Tensors

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def bucket_of(count: int, maximum: int) -> int:
    """The batch size that `count` images are filled up to: the next power of two, at most `maximum`.

    Powers of two bound the waste by one half and the number of recordings by the logarithm of the maximum.
    """
    if not 1 <= count <= maximum:
        raise SessionFailed(f"a batch of {count} images; this session takes 1 to {maximum}")
    return min(1 << (count - 1).bit_length(), maximum)


#: Buffers of so many shapes are kept: a model of free height and width sees many, and each holds device memory.
MAX_SLOTS = 16


def kept_slot(slots: OrderedDict[K, V], key: K, make: Callable[[], V]) -> V:
    """The slot of a key, made where there is none; the one that was not used for longest is dropped for it."""
    if key not in slots:
        slots[key] = make()
        if len(slots) > MAX_SLOTS:
            slots.popitem(last=False)
    slots.move_to_end(key)
    return slots[key]


def filled_up(value: Array, size: int | None) -> Array:
    """`value` with zeros after its last image up to `size`; itself where nothing is missing."""
    if size is None or len(value) == size:
        return value
    if len(value) > size:
        raise SessionFailed(f"a batch of {len(value)} images; this artefact takes exactly {size}")
    filled = np.zeros((size, *value.shape[1:]), dtype=value.dtype)
    filled[: len(value)] = value
    return filled


def count_of(inputs: Tensors) -> int:
    """Images in a batch; all its tensors must have the same number.

    Raises:
        SessionFailed: they do not, or there are none.
    """
    counts = {name: len(value) for name, value in inputs.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise SessionFailed(f"expected tensors of one batch size of at least 1, found {counts}")
    return next(iter(counts.values()))
