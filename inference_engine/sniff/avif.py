"""AVIF: the brands, and the sizes that item properties and code streams declare."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from inference_engine.sniff.av1 import declared_sizes
from inference_engine.sniff.header import ImageHeader, ImageLimits, check_ratio, corrupt, truncated
from inference_engine.sniff.isobmff import boxes, find, item_places

if TYPE_CHECKING:
    from collections.abc import Iterator

_BRANDS = (b"avif", b"avis")
# Where pictures and their properties lie; what follows the last of these is nobody's concern.
_NEEDED = frozenset({b"ftyp", b"meta", b"moov", b"mdat"})
_SAMPLE_TABLE = (b"moov", b"trak", b"mdia", b"minf", b"stbl")


def is_avif(data: bytes) -> bool:
    """Whether the file-type box names an AVIF brand; HEIC and MP4 begin with the same box."""
    size = min(int.from_bytes(data[:4], "big"), 256)
    return any(data[at : at + 4] in _BRANDS for at in range(8, size, 4))


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Take the largest size that anything in the file declares: property, grid, tile or code stream."""
    _check_complete(data)
    sizes = [*_property_sizes(data), *_stream_sizes(data, limits)]
    if not sizes:
        raise corrupt("avif without a declared size (ispe)")
    header = ImageHeader("avif", max(w for w, _ in sizes), max(h for _, h in sizes))
    check_ratio(header, len(data), limits)
    return header


def _check_complete(data: bytes) -> None:
    kinds = set()
    for box in boxes(data, 0, len(data)):
        if box.kind in _NEEDED and box.end > len(data):
            raise truncated(f"avif whose box {box.kind!r} ends after the file's {len(data)} bytes")
        kinds.add(box.kind)
    if not kinds & {b"meta", b"moov"}:
        raise truncated(f"avif of {len(data)} bytes without the box that describes its picture")


def _property_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    for box in find(data, 0, len(data), (b"meta", b"iprp", b"ipco", b"ispe")):
        yield struct.unpack_from(">II", data, box.start + 4)


def _stream_sizes(data: bytes, limits: ImageLimits) -> Iterator[tuple[int, int]]:
    for place in {*_picture_places(data), *_track_places(data)}:
        yield from declared_sizes(data, place, limits)


def _picture_places(data: bytes) -> Iterator[int]:
    idat_start = next((box.start for box in find(data, 0, len(data), (b"meta", b"idat"))), 0)
    for box in find(data, 0, len(data), (b"meta", b"iloc")):
        yield from item_places(data, box, idat_start)


def _track_places(data: bytes) -> Iterator[int]:
    """The first sample of each track of an animation."""
    for kind, code in ((b"stco", ">I"), (b"co64", ">Q")):
        for box in find(data, 0, len(data), (*_SAMPLE_TABLE, kind)):
            yield struct.unpack_from(code, data, box.start + 8)[0]
