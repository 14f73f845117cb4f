"""The boxes of ISO base media files (ISO/IEC 14496-12), as far as AVIF needs them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import corrupt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_BOXES = 4096
_MAX_ITEMS = 4096
# Boxes with a version and flags before what they hold.
_VERSIONED = frozenset({b"meta"})
_VERSION_BYTES = 4


class Box(NamedTuple):
    """Kind, first byte of the content, and the byte after it, which may lie behind the end of the file."""

    kind: bytes
    start: int
    end: int


def boxes(data: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes between two bytes, in order."""
    at = start
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        elif size == 0:
            size = end - at
        if size < head:
            raise corrupt(f"box {kind!r} of {size} bytes, shorter than its own head")
        yield Box(kind, at + head, at + size)
        at += size
    raise ImageUnreadable("image_bomb", f"more than {_MAX_BOXES} boxes in a row")


def find(data: bytes, start: int, end: int, path: Sequence[bytes]) -> Iterator[Box]:
    """Every box at the end of a path of kinds, for example `(b"meta", b"iprp", b"ipco", b"ispe")`."""
    for box in boxes(data, start, min(end, len(data))):
        if box.kind == path[0] and len(path) == 1:
            yield box
        elif box.kind == path[0]:
            inner = box.start + _VERSION_BYTES * (box.kind in _VERSIONED)
            yield from find(data, inner, box.end, path[1:])


def item_places(data: bytes, iloc: Box, idat_start: int) -> Iterator[int]:
    """Where the bytes of each item begin, by the item location box (`iloc`, versions 0 to 2)."""
    version, sizes = data[iloc.start], int.from_bytes(data[iloc.start + 4 : iloc.start + 6], "big")
    offset_bytes, length_bytes = sizes >> 12, sizes >> 8 & 15
    base_bytes, index_bytes = sizes >> 4 & 15, (sizes & 15) * (version > 0)
    id_bytes = 4 if version == 2 else 2
    count = int.from_bytes(data[iloc.start + 6 : iloc.start + 6 + id_bytes], "big")
    at = iloc.start + 6 + id_bytes
    if count > _MAX_ITEMS:
        raise ImageUnreadable("image_bomb", f"{count} items; at most {_MAX_ITEMS} are read")
    for _ in range(count):
        at += id_bytes
        method = data[at + 1] & 15 if version else 0
        at += 2 * (version > 0) + 2
        base = int.from_bytes(data[at : at + base_bytes], "big") + (idat_start if method == 1 else 0)
        extents = int.from_bytes(data[at + base_bytes : at + base_bytes + 2], "big")
        at += base_bytes + 2
        if extents > 1:
            # Decoders join the parts before they look inside; nobody writes such pictures.
            raise ImageUnreadable("unsupported_format", f"avif item in {extents} parts; save it again as one")
        yield base + int.from_bytes(data[at + index_bytes : at + index_bytes + offset_bytes], "big")
        at += extents * (index_bytes + offset_bytes + length_bytes)
