"""JPEG (ITU-T T.81): the frame header, the scans and the end mark, jumping over the coded data."""

from __future__ import annotations

import re
from dataclasses import dataclass

from inference_engine.errors import ImageUnreadable
from inference_engine.sniff.header import (
    ImageHeader,
    ImageLimits,
    check_bound,
    check_ratio,
    check_size,
    corrupt,
    too_deep,
    truncated,
)

# The next mark that is not a stuffed 0xff, a fill byte, a restart, TEM or SOI.
_MARK = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
_SOS, _EOI = 0xDA, 0xD9
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})
_PROGRESSIVE = frozenset({0xC2, 0xCA})
# Baseline, extended, progressive, lossless, then extended and progressive with arithmetic coding; others are
# hierarchical, which no decoder here reads.
_READ_FRAMES = frozenset({0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA})
# Huffman codes take at least one bit for the DC value of each block of 64 samples (T.81, F.1.2.1): no real file has
# more than 512 pixels a byte, however blank. Arithmetic coding has no such bound.
_MAX_PIXELS_PER_BYTE_HUFFMAN = 512
# Large ICC and XMP blocks come as hundreds of 64 kB segments; ten thousand are no picture.
_MAX_SEGMENTS = 10_000


@dataclass(frozen=True, slots=True)
class _Frame:
    header: ImageHeader
    mark: int
    components: int


def parse(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Walk the segments to the one scan of a usual picture, or through every scan of a progressive one."""
    frame: _Frame | None = None
    scans, at = 0, 2
    for _ in range(_MAX_SEGMENTS):
        mark, at = _next_mark(data, at)
        if mark == _EOI:
            return _finish(frame, scans, len(data), limits)
        length = _segment_length(data, at)
        if mark in _FRAMES:
            frame = _read_frame(data, at, mark, limits)
        elif mark == _SOS:
            scans += 1
            _check_scans(frame, scans, limits)
            if _is_only_scan(frame, data[at + 2]):
                _require_end(data, at + length)
                return _finish(frame, scans, len(data), limits)
        at += length
    raise ImageUnreadable("image_bomb", f"jpeg with more than {_MAX_SEGMENTS} segments")


def _next_mark(data: bytes, at: int) -> tuple[int, int]:
    found = _MARK.search(data, at)
    if found is None:
        raise truncated(f"jpeg of {len(data)} bytes without an end mark")
    return data[found.end() - 1], found.end()


def _segment_length(data: bytes, at: int) -> int:
    length = int.from_bytes(data[at : at + 2], "big")
    if at + max(length, 2) > len(data):
        raise truncated(f"jpeg segment at byte {at} ends after the file")
    if length < 2:
        raise corrupt(f"jpeg segment at byte {at} has length {length}; expected at least 2")
    return length


def _read_frame(data: bytes, at: int, mark: int, limits: ImageLimits) -> _Frame:
    if mark not in _READ_FRAMES:
        raise ImageUnreadable("unsupported_format", f"hierarchical jpeg (SOF{mark - 0xC0}); save it as baseline")
    bits = data[at + 2]
    if bits != 8:
        raise too_deep(f"jpeg with {bits} bits a sample")
    height = int.from_bytes(data[at + 3 : at + 5], "big")
    width = int.from_bytes(data[at + 5 : at + 7], "big")
    header = ImageHeader("jpeg", width, height)
    check_size(header, limits)
    return _Frame(header, mark, data[at + 7])


def _check_scans(frame: _Frame | None, scans: int, limits: ImageLimits) -> None:
    if frame is None:
        raise corrupt("jpeg scan before any frame header")
    if scans > limits.max_scans or scans * frame.header.pixels > limits.max_scan_pixels:
        raise ImageUnreadable(
            "image_bomb",
            f"jpeg of {frame.header.width} x {frame.header.height} pixels with {scans} scans or more; "
            f"at most {limits.max_scans} scans and {limits.max_scan_pixels} scanned pixels are read",
        )


def _is_only_scan(frame: _Frame | None, components: int) -> bool:
    """Whether libjpeg reads just this scan: it holds every component and no later one refines it."""
    return frame is not None and frame.mark not in _PROGRESSIVE and components == frame.components


def _require_end(data: bytes, at: int) -> None:
    if data.rfind(b"\xff\xd9", at) < 0:
        raise truncated(f"jpeg of {len(data)} bytes without an end mark")


def _finish(frame: _Frame | None, scans: int, n_bytes: int, limits: ImageLimits) -> ImageHeader:
    if frame is None or scans == 0:
        raise corrupt("jpeg without a frame header and a scan")
    if frame.mark in _HUFFMAN:
        check_bound(frame.header, n_bytes, _MAX_PIXELS_PER_BYTE_HUFFMAN)
    else:
        check_ratio(frame.header, n_bytes, limits)
    return frame.header
