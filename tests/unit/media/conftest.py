"""Pictures of every format that is read, made by OpenCV from one gradient."""

import struct
import zlib

import numpy as np
import pytest

from inference_engine.opencv import import_cv2

SUFFIXES = {
    "jpeg": ".jpg",
    "png": ".png",
    "webp": ".webp",
    "gif": ".gif",
    "bmp": ".bmp",
    "tiff": ".tiff",
    "avif": ".avif",
}


def make_gradient(hw):
    rows, columns = np.mgrid[0 : hw[0], 0 : hw[1]]
    planes = [columns * 255 // hw[1], rows * 255 // hw[0], (rows + columns) % 256]
    return np.stack(planes, axis=-1).astype(np.uint8)


@pytest.fixture(scope="session")
def encode():
    """Encode the gradient (or a given RGB picture) in a format."""

    def encode_picture(name, hw=(48, 64), options=(), rgb=None):
        cv2 = import_cv2()
        image = make_gradient(hw) if rgb is None else rgb
        is_encoded, data = cv2.imencode(SUFFIXES[name], image[..., ::-1], list(options))
        assert is_encoded
        return data.tobytes()

    return encode_picture


@pytest.fixture(scope="session")
def pictures(encode):
    """Format -> bytes of a picture of 64 x 48."""
    return {name: encode(name) for name in SUFFIXES}


@pytest.fixture(scope="session")
def png_chunk():
    def make_chunk(kind, content, length=None):
        declared = len(content) if length is None else length
        return struct.pack(">I", declared) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    return make_chunk


@pytest.fixture(scope="session")
def make_png(png_chunk):
    """A PNG of `bits` and colour type from its parts, so that it may lie."""

    def make(width, height, raw=b"\0", bits=8, colour=0, extra=b""):
        head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
        body = png_chunk(b"IDAT", zlib.compress(raw))
        return b"\x89PNG\r\n\x1a\n" + head + extra + body + png_chunk(b"IEND", b"")

    return make


@pytest.fixture(scope="session")
def long_chunk_png(png_chunk):
    """61 bytes, 16 x 16 pixels, and a chunk that declares 2 GB."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", b"\0" * 16, length=1 << 31)


@pytest.fixture(scope="session")
def resize_jpeg():
    """Overwrite the sides that a JPEG's frame header declares."""

    def resize(data, width, height):
        at = next(at for at in range(len(data)) if data[at] == 0xFF and data[at + 1] in {0xC0, 0xC1, 0xC2})
        return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]

    return resize


@pytest.fixture(scope="session")
def lying_jpeg(encode, resize_jpeg):
    """A JPEG of 8 x 8 pixels that claims 30000 x 30000; OpenCV decodes it to 2.7 GB of grey without an error."""
    return resize_jpeg(encode("jpeg", (8, 8)), 30_000, 30_000)


@pytest.fixture(scope="session")
def repeat_scans(encode):
    """A progressive JPEG whose last scan comes again and again."""

    def repeat(times, hw=(64, 64)):
        data = encode("jpeg", hw, options=(import_cv2().IMWRITE_JPEG_PROGRESSIVE, 1))
        last = data.rindex(b"\xff\xda")
        return data[:last] + data[last:-2] * times + data[-2:]

    return repeat
