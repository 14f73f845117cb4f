"""The size that an AV1 code stream itself declares (AV1 bitstream specification, 5.3 to 5.5).

A container may lie: with OpenCV 5.0, 1,855 bytes whose AVIF header says 64 x 48 and whose code stream says
12000 x 12000 take 1.8 GB and 5 s, and give a picture of 64 x 48.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from inference_engine.sniff.header import ImageLimits

_SEQUENCE_HEADER = 1
# A picture is a delimiter, a header, a few metadata units and one frame or its tile groups.
_MAX_UNITS = 64
# The longest header with all 32 operating points takes 32 x 12 bytes and some.
_HEADER_BYTES = 512


def declared_sizes(data: bytes, at: int, limits: ImageLimits) -> Iterator[tuple[int, int]]:
    """Width and height of every sequence header among the first units from byte `at` on."""
    for _ in range(_MAX_UNITS):
        if at + 2 > len(data):
            return
        head = data[at]
        has_extension, has_size = head >> 2 & 1, head >> 1 & 1
        size, start = _leb128(data, at + 1 + has_extension) if has_size else (len(data), at + 1 + has_extension)
        if head >> 3 & 15 == _SEQUENCE_HEADER:
            yield _read_sequence_header(data[start : start + min(size, _HEADER_BYTES)], limits)
        at = start + size


def _leb128(data: bytes, at: int) -> tuple[int, int]:
    """A little-endian number of 7 bits a byte, at most 8 bytes, and the byte after it."""
    value = 0
    for number, byte in enumerate(data[at : at + 8]):
        value |= (byte & 0x7F) << 7 * number
        if byte < 0x80:
            return value, at + number + 1
    raise corrupt("av1 unit without an end to its size")


class _Bits:
    """Big-endian bits of a few bytes."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._left = 8 * len(data)

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise corrupt("av1 sequence header that ends too early")
        return self._value >> self._left & (1 << count) - 1


def _read_sequence_header(data: bytes, limits: ImageLimits) -> tuple[int, int]:
    bits = _Bits(data)
    bits.take(4)  # profile, still picture
    is_reduced = bits.take(1)
    if is_reduced:
        bits.take(5)  # level
    else:
        _skip_timing_and_operating_points(bits)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    if not is_reduced and 1 << width_bits + height_bits > 4 * limits.max_pixels:
        # Each frame may declare a size of its own with so many bits; encoders take the fewest that hold the picture.
        raise ImageUnreadable(
            "image_bomb", f"av1 code stream with room for frames of {1 << width_bits} x {1 << height_bits} pixels"
        )
    return bits.take(width_bits) + 1, bits.take(height_bits) + 1


def _skip_timing_and_operating_points(bits: _Bits) -> None:
    delay_bits = 0
    if bits.take(1):
        bits.take(64)  # units in a tick, time scale
        if bits.take(1):
            _skip_uvlc(bits)
        if bits.take(1):
            delay_bits = bits.take(5) + 1
            bits.take(42)  # units in a decoding tick, two lengths
    has_display_delay = bits.take(1)
    for _ in range(bits.take(5) + 1):
        bits.take(12)
        bits.take(bits.take(5) > 7)  # a tier follows the upper levels
        if delay_bits and bits.take(1):
            bits.take(2 * delay_bits + 1)
        if has_display_delay and bits.take(1):
            bits.take(4)


def _skip_uvlc(bits: _Bits) -> None:
    zeros = 0
    while not bits.take(1):
        zeros += 1
    bits.take(zeros if zeros < 32 else 0)
