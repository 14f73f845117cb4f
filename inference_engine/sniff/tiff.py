"""TIFF 6.0 and BigTIFF: the first directory, which is the page that is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import ImageHeader, ImageLimits, check_ratio, corrupt, too_deep, truncated

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
# Where the last strip or tile begins and how long it is.
_PLACES = ((273, 279), (324, 325))
_TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT = 322, 323, 339
_TAGS = frozenset({_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _SAMPLE_FORMAT})
_LAST_VALUE_TAGS = frozenset(tag for pair in _PLACES for tag in pair)
_UNSIGNED, _UNCOMPRESSED = 1, 1
# Type -> struct code and bytes: BYTE, SHORT, LONG, LONG8.
_TYPES = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
# Geographic and raw files come to about a hundred.
_MAX_TAGS = 4096


@dataclass(frozen=True, slots=True)
class _Layout:
    """How classic TIFF and BigTIFF spell one directory."""

    order: str
    offset_at: int
    offset: str
    count: str
    count_bytes: int
    entry_bytes: int
    inline_bytes: int


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Read the first directory's sizes, depth and compression."""
    tags = _read_tags(data, _layout(data))
    if not {_WIDTH, _HEIGHT} <= tags.keys():
        raise corrupt("tiff whose first directory has no width and height")
    bits, samples = tags.get(_BITS, 1), tags.get(_SAMPLES, 1)
    if tags.get(_SAMPLE_FORMAT, _UNSIGNED) != _UNSIGNED or not 1 <= bits <= 16:
        raise too_deep(f"tiff with {bits} bits a sample, sample format {tags.get(_SAMPLE_FORMAT, _UNSIGNED)}")
    if not 1 <= samples <= 8:
        raise corrupt(f"tiff with {samples} samples a pixel; expected 1 to 8")
    header = ImageHeader("tiff", tags[_WIDTH], tags[_HEIGHT], bits=bits)
    _check_tile(tags, limits)
    _check_places(data, tags)
    if tags.get(_COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED:
        _check_rows(data, header, bits)
    check_ratio(header, len(data), limits)
    return header


def _layout(data: bytes) -> _Layout:
    order = "<" if data[:1] == b"I" else ">"
    if b"+" in data[2:4]:
        return _Layout(order, 8, "Q", "Q", 8, 20, 8)
    return _Layout(order, 4, "I", "H", 2, 12, 4)


def _read_tags(data: bytes, layout: _Layout) -> dict[int, int]:
    """The first value of each tag of interest, and the last of those that say where data lie."""
    (start,) = struct.unpack_from(layout.order + layout.offset, data, layout.offset_at)
    if start + layout.count_bytes > len(data):
        raise truncated(f"tiff directory at byte {start}; the file has {len(data)}")
    (count,) = struct.unpack_from(layout.order + layout.count, data, start)
    first = start + layout.count_bytes
    if first + count * layout.entry_bytes > len(data):
        raise truncated(f"tiff directory of {count} tags at byte {start} ends after the file")
    if count > _MAX_TAGS:
        raise corrupt(f"tiff directory of {count} tags; expected at most {_MAX_TAGS}")
    tags = {}
    for at in range(first, first + count * layout.entry_bytes, layout.entry_bytes):
        (tag,) = struct.unpack_from(layout.order + "H", data, at)
        if tag in _TAGS:
            tags[tag] = _read_value(data, at, layout)
        elif tag in _LAST_VALUE_TAGS:
            tags[tag] = _read_value(data, at, layout, is_last=True)
    return tags


def _read_value(data: bytes, at: int, layout: _Layout, *, is_last: bool = False) -> int:
    (kind,) = struct.unpack_from(layout.order + "H", data, at + 2)
    (count,) = struct.unpack_from(layout.order + layout.offset, data, at + 4)
    if kind not in _TYPES or not count:
        raise corrupt(f"tiff tag with {count} values of type {kind}; expected whole numbers")
    code, size = _TYPES[kind]
    place = at + layout.entry_bytes - layout.inline_bytes
    if size * count > layout.inline_bytes:
        (place,) = struct.unpack_from(layout.order + layout.offset, data, place)
    if is_last:
        place += size * (count - 1)
    if place + size > len(data):
        raise truncated(f"tiff value at byte {place}; the file has {len(data)}")
    return int(struct.unpack_from(layout.order + code, data, place)[0])


def _check_tile(tags: dict[int, int], limits: ImageLimits) -> None:
    """One tile is decoded as a whole, whatever the picture's own size."""
    width, height = tags.get(_TILE_WIDTH, 1), tags.get(_TILE_HEIGHT, 1)
    if width * height > limits.max_pixels:
        raise ImageUnreadable("image_bomb", f"tiff tile of {width} x {height}; at most {limits.max_pixels} pixels")


def _check_places(data: bytes, tags: dict[int, int]) -> None:
    for offset, length in _PLACES:
        end = tags.get(offset, 0) + tags.get(length, 0)
        if end > len(data):
            raise truncated(f"the last strip or tile of the tiff ends at byte {end} and the file has {len(data)}")


def _check_rows(data: bytes, header: ImageHeader, bits: int) -> None:
    needed = (header.width * bits + 7) // 8 * header.height
    if needed > len(data):
        raise truncated(f"uncompressed tiff needs {needed} bytes of rows and the file has {len(data)}")
