"""A file as an answer, whole or from where a reader was cut off (RFC 9110, section 14): one range, bytes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Header, Response
from fastapi.responses import StreamingResponse

from producer.server.bodies import gives
from producer.server.errors import RangeInvalid

_CHUNK_BYTES = 2**16
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

Range = Annotated[
    str | None, Header(alias="Range", max_length=200, description="Such as bytes=1000-; the rest of a file.")
]
IfRange = Annotated[
    str | None, Header(alias="If-Range", max_length=200, description="The ETag of what is there of it already.")
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request says of the part that it wants.

    Attributes:
        part: the header `Range`; what is no single range of bytes is as if it were not there.
        only_of: the header `If-Range`: with another file than that, all of it is wanted.
    """

    part: str | None = None
    only_of: str | None = None

    def bounds(self, size: int, tag: str) -> tuple[int, int] | None:
        """Give first byte and end of the part; None: the whole file.

        Raises:
            RangeInvalid: the file has no such byte.
        """
        found = _RANGE.fullmatch(self.part or "")
        if found is None or (self.only_of is not None and self.only_of != tag) or not any(found.groups()):
            return None
        first, last = found.groups()
        if not first:
            start, end = max(0, size - int(last)), size
        else:
            start, end = int(first), min(size, int(last) + 1 if last else size)
            if last and int(last) < start:
                return None
        if start >= end:
            raise RangeInvalid(f"the file has {size} bytes, and the range begins behind them: ask from 0 on", size)
        return start, end


def sends(media: str) -> dict[int | str, dict[str, object]]:
    """Describe the answers of a route that sends a file."""
    content = {"content": {media: {"schema": {"type": "string", "format": "binary"}}}}
    return gives(media=media, more=(206,)) | {206: {"description": "The part that was asked for", **content}}


def send_file(descriptor: int, name: str, media: str, wanted: Wanted) -> Response:
    """Give an open file, which is closed at the end; it must be one that does not change.

    Args:
        name: that a browser saves it under.

    Raises:
        RangeInvalid.
    """
    status = os.fstat(descriptor)
    size, tag = status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
    try:
        bounds = wanted.bounds(size, tag)
    except RangeInvalid:
        os.close(descriptor)
        raise
    start, end = bounds or (0, size)
    headers = {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Length": str(end - start),
        "ETag": tag,
    }
    if bounds is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(_part(descriptor, start, end), 200 if bounds is None else 206, headers, media)


def _part(descriptor: int, start: int, end: int) -> Iterator[bytes]:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(start)
        left = end - start
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk
