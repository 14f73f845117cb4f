"""COCO's compressed run lengths (cocodataset/cocoapi, common/maskApi.c) of masks in records, read without trust.

pycocotools reads them too, but believes what it reads: counts that do not fill the image make it write beyond it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]  # (height, width)
#: Bits of a run's length below its last letter: an image has fewer than 2^31 pixels.
_MOST_BITS = 30


def decode(counts: bytes, hw: tuple[int, int], *, step: int = 1) -> Mask:
    """One mask, dense.

    Args:
        step: every so many pixels down and across; the mask has `ceil(side / step)` a side.

    Raises:
        ValueError: its counts do not fill the image; nothing is decoded beyond it.
    """
    height, width = hw
    runs = _checked_runs(counts, hw)
    pixels = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(pixels.reshape(width, height)[::step, ::step].T)


def area(counts: bytes, hw: tuple[int, int]) -> int:
    """Pixels of one mask.

    Raises:
        ValueError: its counts do not fill the image.
    """
    return int(_checked_runs(counts, hw)[1::2].sum())


def _checked_runs(counts: bytes, hw: tuple[int, int]) -> npt.NDArray[np.int64]:
    runs = _runs(counts)
    if not runs.size or runs.min() < 0 or runs.sum() != hw[0] * hw[1]:
        raise ValueError(f"a mask of {runs.sum()} pixels in {len(runs)} runs, its image is {hw[0]} x {hw[1]}")
    return runs


def _runs(counts: bytes) -> npt.NDArray[np.int64]:
    """Lengths of the runs down the columns, zeros first (rleFrString of common/maskApi.c, without its buffer).

    A letter, less 48, holds 5 bits, the lowest first, and the mark that another follows; the last one's fifth bit is
    the sign. From the fourth on, a number is the difference to the run before the last.
    """
    letters = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero(letters & 32 == 0)
    if not ends.size or ends[-1] != len(letters) - 1:
        return np.zeros(0, dtype=np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = 5 * (np.arange(len(letters)) - np.repeat(starts, ends - starts + 1))
    if place.max() > _MOST_BITS:
        return np.zeros(0, dtype=np.int64)
    numbers = np.add.reduceat((letters & 31) << place, starts)
    numbers -= ((letters[ends] & 16) > 0) * (np.int64(32) << place[ends])
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
