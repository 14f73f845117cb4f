"""Label Studio's run lengths of brush strokes.

The format of its editor and its converter (HumanSignal/label-studio-sdk, `converter/brush.py`): a stream of bits, the
highest of a byte first. It has the number of values (32 bits), the bits a value less 1 (5), and four sizes less 1 (4
each); then for each run 1 or, for values that follow one by one, 0; the number of the size (2); the run's length less 1
in so many bits; the value. Values are the picture's red, green, blue and opacity one after the other.
"""

from __future__ import annotations

import numpy as np

from drawing.run_lengths import Mask

_CHANNELS = 4
_VALUE_BITS = 8
#: Bits that a run's length may have, the shortest first.
_SIZES = (3, 4, 8, 16)
_LONGEST = 1 << _SIZES[-1]


def brush_runs(mask: Mask) -> list[int]:
    """A mask `(height, width)` as Label Studio's list of bytes: 255 in all channels where it is, 0 elsewhere."""
    flat = mask.reshape(-1)
    edges = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1, [flat.size]])
    bits = [f"{flat.size * _CHANNELS:032b}", f"{_VALUE_BITS - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        value = "1" * _VALUE_BITS if flat[start] else "0" * _VALUE_BITS
        left = (end - start) * _CHANNELS
        while left:
            length = min(left, _LONGEST)
            bits.append(_run(length) + value)
            left -= length
    stream = "".join(bits)
    padded = stream + "0" * (-len(stream) % 8)
    return list(int(padded, 2).to_bytes(len(padded) // 8, "big"))


def _run(length: int) -> str:
    number, size = next((number, size) for number, size in enumerate(_SIZES) if length <= 1 << size)
    return f"1{number:02b}{length - 1:0{size}b}"
