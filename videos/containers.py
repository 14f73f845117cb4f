"""The guard before FFmpeg: the container, from the file's own first bytes.

FFmpeg is told which demuxer to use and never guesses, so text that names other files (playlists, `ffconcat`, SDP, MPD)
reaches none of the demuxers that would open them.
"""

from __future__ import annotations

from videos.errors import VideoUnreadable

#: Bytes that `sniff` wants to see.
HEAD_BYTES = 4096

#: First bytes -> FFmpeg's name of the demuxer.
_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (b"FLV\x01", "flv"),
    (b"\0\0\x01\xba", "mpeg"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c", "asf"),
    (b"OggS", "ogg"),
)
#: Boxes that an ISO or QuickTime file may begin with (ISO/IEC 14496-12, section 4.3; QuickTime file format).
_FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
#: Brands of still pictures in the same container.
_STILL_BRANDS = frozenset({b"avif", b"mif1", b"heic", b"heix", b"heim", b"heis", b"crx "})
#: Packets of a transport stream: 188 bytes, 192 with the time stamp of a camera's or Blu-ray disc's file.
_TS_PACKETS = ((188, 0), (192, 4))
_TS_SYNC = 0x47


def sniff(head: bytes) -> str:
    """FFmpeg's name of the demuxer for a file that begins with `head`, its first `HEAD_BYTES`.

    Raises:
        VideoUnreadable: `not_a_video`, naming what was found.
    """
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if head[4:8] in _FIRST_BOXES and head[8:12] not in _STILL_BRANDS:
        return "mov"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    if any(_is_transport_stream(head, size, at) for size, at in _TS_PACKETS):
        return "mpegts"
    raise VideoUnreadable("not_a_video", f"{_describe(head)}; expected mp4, mkv, webm, avi, mpeg, ts, wmv, flv or ogg")


def _is_transport_stream(head: bytes, size: int, at: int) -> bool:
    """Whether three packets one after the other begin with the sync byte."""
    places = range(at, at + 3 * size, size)
    return len(head) > places[-1] and all(head[place] == _TS_SYNC for place in places)


def _describe(head: bytes) -> str:
    if not head:
        return "the file has no bytes"
    if b"\0" not in head[:512] and all(byte >= 32 or byte in b"\t\n\r\f" for byte in head[:512]):
        return "found text, as playlists are"
    return f"found data that begins with {head[:8].hex(' ')}"
