"""WebP (RFC 9649): lossy, lossless and extended files."""

from __future__ import annotations

import struct

from inference_engine.sniff.header import ImageHeader, ImageLimits, check_ratio, corrupt, truncated


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Read the size from the first chunk, which is the canvas of an extended file."""
    (riff_size,) = struct.unpack_from("<I", data, 4)
    kind, chunk_size = struct.unpack_from("<4sI", data, 12)
    width, height = _read_sides(data, kind)
    # One byte short of an odd chunk's padding is not short of the picture.
    if min(riff_size + 8, riff_size + 7 + riff_size % 2) > len(data) or chunk_size > len(data) - 20:
        raise truncated(f"webp declares {riff_size + 8} bytes and the file has {len(data)}")
    header = ImageHeader("webp", width, height)
    check_ratio(header, len(data), limits)
    return header


def _read_sides(data: bytes, kind: bytes) -> tuple[int, int]:
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8 ":
        mark, width, height = struct.unpack_from("<3sHH", data, 23)
        if mark != b"\x9d\x01\x2a":
            raise corrupt("webp whose lossy frame lacks its start code")
        return width & 0x3FFF, height & 0x3FFF
    if kind == b"VP8L":
        mark, bits = struct.unpack_from("<BI", data, 20)
        if mark != 0x2F:
            raise corrupt("webp whose lossless frame lacks its signature")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    raise corrupt(f"webp that begins with chunk {kind!r}; expected VP8, VP8L or VP8X")
