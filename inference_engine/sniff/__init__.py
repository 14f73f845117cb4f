"""The guard before every decode: format and declared size from a file's own bytes, in pure Python.

No allocation depends on a size that the file declares, and every loop is bounded, so hostile bytes cost microseconds.
Decoders do not offer that: OpenCV 5.0 touches 4 GB for a 61-byte PNG with a long chunk length, and decodes a 631-byte
JPEG to 30000 x 30000 grey pixels without an error. Orientation is not read here: `cv2.imdecode` applies EXIF itself, so
`width` and `height` are those of the stored picture, before any turn.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff import avif, bmp, gif, jpeg, png, tiff, webp
from inference_engine.sniff.foreign import refuse_foreign
from inference_engine.sniff.header import DEFAULT_LIMITS, ImageHeader, ImageLimits, check_size, truncated

__all__ = ["DEFAULT_LIMITS", "FORMATS", "ImageHeader", "ImageLimits", "sniff"]

Parser = Callable[[bytes, ImageLimits], ImageHeader]

#: First bytes -> the parser that knows the rest; `_find_parser` adds the two kinds of container.
_PARSERS: dict[bytes, Parser] = {
    b"\xff\xd8\xff": jpeg.parse,
    b"\x89PNG\r\n\x1a\n": png.parse,
    b"GIF87a": gif.parse,
    b"GIF89a": gif.parse,
    b"BM": bmp.parse,
    b"II*\0": tiff.parse,
    b"MM\0*": tiff.parse,
    b"II+\0\x08\0\0\0": tiff.parse,
    b"MM\0+\0\x08\0\0": tiff.parse,
}

#: The formats that are read here, as `ImageHeader.format` spells them.
FORMATS = ("jpeg", "png", "webp", "gif", "bmp", "tiff", "avif")


def sniff(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageHeader:
    """Read a picture's header, or say why the picture must not reach a decoder.

    Raises:
        ImageUnreadable: and nothing else, whatever the bytes are.
    """
    if not data:
        raise ImageUnreadable("image_empty", "the file has no bytes; expected a picture")
    parser = _find_parser(data)
    if parser is None:
        refuse_foreign(data)
    try:
        header = parser(data, limits)
    except (struct.error, IndexError) as error:
        raise truncated(f"the header ends after {len(data)} bytes, inside a field") from error
    check_size(header, limits)
    return header


def _find_parser(data: bytes) -> Parser | None:
    for magic, parser in _PARSERS.items():
        if data.startswith(magic):
            return parser
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return webp.parse
    if data[4:8] == b"ftyp" and avif.is_avif(data):
        return avif.parse
    if len(data) < 8 and any(magic.startswith(data) for magic in _PARSERS):
        raise truncated(f"the file ends after {len(data)} bytes, inside the mark of its format")
    return None
