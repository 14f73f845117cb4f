"""BMP: the three header sizes in use, and that the rows of an uncompressed picture are there."""

from __future__ import annotations

import struct

from inference_engine.sniff.header import ImageHeader, ImageLimits, check_ratio, corrupt, too_deep, truncated

_CORE_HEADER = 12  # OS/2: 16-bit sides
_UNCOMPRESSED = frozenset({0, 3, 6})  # BI_RGB, BI_BITFIELDS, BI_ALPHABITFIELDS
_RUN_LENGTH = frozenset({1, 2})  # BI_RLE8, BI_RLE4


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Read the size; a negative height means that the first row is the upper one."""
    offset, header_size = struct.unpack_from("<II", data, 10)
    if header_size == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif header_size >= 40:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise corrupt(f"bmp with a header of {header_size} bytes; expected 12, or 40 and more")
    if width < 0 or bits not in {1, 2, 4, 8, 16, 24, 32}:
        raise corrupt(f"bmp with width {width} and {bits} bits a pixel")
    header = ImageHeader("bmp", width, abs(height))
    _check_rows(data, offset, bits, compression, header)
    check_ratio(header, len(data), limits)
    return header


def _check_rows(data: bytes, offset: int, bits: int, compression: int, header: ImageHeader) -> None:
    if compression in _RUN_LENGTH:
        return
    if compression not in _UNCOMPRESSED:
        raise too_deep(f"bmp with compression {compression}")
    needed = (header.width * bits + 31) // 32 * 4 * header.height
    if needed > len(data) - offset:
        raise truncated(f"bmp needs {needed} bytes of rows after byte {offset} and the file has {len(data)}")
