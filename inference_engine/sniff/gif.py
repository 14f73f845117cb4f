"""GIF (87a and 89a): the logical screen and the first frame, which is the one that is read."""

from __future__ import annotations

import struct

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import ImageHeader, ImageLimits, check_bound, corrupt

_EXTENSION, _FRAME, _TRAILER = 0x21, 0x2C, 0x3B
# LZW's longest string is 4096 pixels for a 12-bit code: 2,731 pixels a byte.
_MAX_PIXELS_PER_BYTE = 2_731
# Encoders fill blocks of 255 bytes; a frame at the pixel limit that nothing compresses has 300,000.
_MAX_BLOCKS = 400_000


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Read the larger of screen and first frame, and check that the frame's data are all there."""
    screen_w, screen_h, flags = struct.unpack_from("<HHB", data, 6)
    at = _find_frame(data, 13 + _table_bytes(flags))
    left, top, frame_w, frame_h, frame_flags = struct.unpack_from("<HHHHB", data, at + 1)
    start = at + 10 + _table_bytes(frame_flags) + 1
    coded_bytes = _skip_blocks(data, start) - start
    header = ImageHeader("gif", max(screen_w, left + frame_w), max(screen_h, top + frame_h))
    if header.pixels > limits.ratio_free_pixels:
        check_bound(header, coded_bytes, _MAX_PIXELS_PER_BYTE)
    return header


def _table_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _find_frame(data: bytes, at: int) -> int:
    for _ in range(_MAX_BLOCKS):
        kind = data[at]
        if kind == _FRAME:
            return at
        if kind != _EXTENSION:
            raise corrupt("gif without a frame" if kind == _TRAILER else f"gif with a block of kind {kind:#04x}")
        at = _skip_blocks(data, at + 2)
    raise ImageUnreadable("image_bomb", f"gif with more than {_MAX_BLOCKS} extensions before its first frame")


def _skip_blocks(data: bytes, at: int) -> int:
    """The byte after the empty block that ends a chain; the end of the file raises IndexError."""
    for _ in range(_MAX_BLOCKS):
        size = data[at]
        at += 1 + size
        if not size:
            return at
    raise ImageUnreadable("image_bomb", f"gif with more than {_MAX_BLOCKS} blocks in a row")
