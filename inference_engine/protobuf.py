"""Walk a protobuf message in place: field by field, nothing copied, nothing allocated for what is skipped."""

from __future__ import annotations

import mmap
from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Field number, start and end of its bytes, value of a varint.

    Raises:
        ValueError, IndexError: this is no message.
    """
    at = start
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        value, stop = 0, at
        if wire == _VARINT:
            value, stop = _varint(data, at)
        elif wire == _FIXED64:
            stop = at + 8
        elif wire == _FIXED32:
            stop = at + 4
        elif wire == _BYTES:
            length, at = _varint(data, at)
            stop = at + length
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if stop > end or number == 0:
            raise ValueError(f"field {number} at byte {at} ends behind its message")
        yield number, at, stop, value
        at = stop


def text_of(data: mmap.mmap, start: int, end: int, wanted: int) -> str:
    """The first text of that number; empty where there is none."""
    for number, first, last, _ in fields(data, start, end):
        if number == wanted:
            return data[first:last].decode()
    return ""


def text_pair(data: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    return text_of(data, start, end, 1), text_of(data, start, end, 2)


def _varint(data: mmap.mmap, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError(f"number at byte {at} does not end")
