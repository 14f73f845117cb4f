"""PNG (W3C PNG, third edition): the header chunk, and that every chunk fits into the file."""

from __future__ import annotations

import struct

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import ImageHeader, ImageLimits, corrupt, truncated

# Colour type -> samples a pixel, and the depths that it may have (table 11.1).
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
# zlib's densest output: 258 bytes for two bits, 1032 to one (zlib technical details).
_MAX_DEFLATE_RATIO = 1032
# libpng writes chunks of 8 kB: a picture of 50 MB has 6,000.
_MAX_CHUNKS = 50_000


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:  # noqa: ARG001 - every parser takes the limits
    """Read IHDR and weigh what it declares against the compressed bytes that are there."""
    width, height, bits, colour = struct.unpack_from(">IIBB", data, 16)
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise corrupt("png whose first chunk is not an IHDR of 13 bytes")
    if bits not in _DEPTHS.get(colour, ()):
        raise corrupt(f"png with colour type {colour} and {bits} bits a sample, which the format does not have")
    compressed = _compressed_bytes(data)
    raw = height * (1 + (width * bits * _SAMPLES[colour] + 7) // 8)
    if raw > (compressed + 1) * _MAX_DEFLATE_RATIO:
        raise ImageUnreadable(
            "image_bomb",
            f"png declares {width} x {height} pixels, {raw} bytes, in {compressed} compressed bytes; "
            f"deflate packs at most {_MAX_DEFLATE_RATIO} to one",
        )
    return ImageHeader("png", width, height, bits=bits)


def _compressed_bytes(data: bytes) -> int:
    """Walk the chunks to IEND; a chunk length past the end is what makes OpenCV allocate up to 4 GB."""
    at, total = 8, 0
    for _ in range(_MAX_CHUNKS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length > len(data) - at - 12:
            raise truncated(f"png chunk {kind!r} at byte {at} has length {length} and ends after the file")
        if kind == b"IEND":
            return total
        if kind == b"IDAT":
            total += length
        at += 12 + length
    raise ImageUnreadable("image_bomb", f"png with more than {_MAX_CHUNKS} chunks")
