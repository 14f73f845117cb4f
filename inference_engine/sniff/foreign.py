"""Names for what is not read, so that a refusal says what the file is instead of what it is not."""

from __future__ import annotations

from typing import NoReturn

from inference_engine.errors import ImageUnreadable

#: First bytes of picture formats that no decoder here is given.
_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000 code stream"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"II\xbc\x01", "JPEG XR"),
    (b"8BPS", "Photoshop document"),
    (b"\0\0\x01\0", "Windows icon"),
    (b"\0\0\x02\0", "Windows cursor"),
    (b"DDS ", "DirectDraw surface"),
    (b"v/1\x01", "OpenEXR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"#?RGBE", "Radiance HDR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"qoif", "QOI"),
    (b"icns", "Apple icon"),
    (b"gimp xcf", "GIMP document"),
    (b"%!PS", "PostScript"),
    (b"FUJIFILMCCD-RAW", "Fujifilm raw"),
    (b"IIRO", "Olympus raw"),
    (b"IIU\0", "Panasonic raw"),
    (b"BPG\xfb", "BPG"),
    (b"SIMPLE  =", "FITS"),
    (b"AT&TFORM", "DjVu"),
    *((b"P%d%c" % (kind, space), "PNM") for kind in range(1, 8) for space in b" \n\r\t"),
)

#: First bytes of what is no picture at all.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "gzip data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"FLV\x01", "a Flash video"),
    (b"\0\0\x01\xba", "an MPEG video"),
    (b"OggS", "an Ogg stream"),
    (b"ID3", "an MP3 file"),
    (b"fLaC", "a FLAC file"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a Windows program"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PAR1", "a Parquet file"),
    (b"#EXTM3U", "a playlist"),
    (b"ffconcat", "a playlist"),
)

_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_TEXT_SAMPLE_BYTES = 1024


def refuse_foreign(data: bytes) -> NoReturn:
    """Raise `unsupported_format` for a picture that is not read here and `not_an_image` for all else, by name.

    Raises:
        ImageUnreadable: always.
    """
    for magic, name in _PICTURES:
        if data.startswith(magic):
            _refuse_picture(name)
    if data[4:8] == b"ftyp":
        _refuse_iso_media(data)
    for magic, name in _OTHERS:
        if data.startswith(magic):
            _refuse(name)
    if data[:4] == b"RIFF":
        _refuse(f"a RIFF file of kind {data[8:12].decode('ascii', 'replace')!r}")
    _refuse_text(data[:_TEXT_SAMPLE_BYTES])
    _refuse(f"data that begins with {data[:8].hex(' ')}")


def _refuse_iso_media(data: bytes) -> NoReturn:
    brand = data[8:12]
    if brand in _HEIC_BRANDS:
        _refuse_picture("HEIC")
    if brand == b"crx ":
        _refuse_picture("Canon raw (CR3)")
    _refuse(f"an MP4 or QuickTime file of brand {brand.decode('ascii', 'replace')!r}")


def _refuse_text(sample: bytes) -> None:
    """Refuse by name what reads as text; return if it does not."""
    text = sample.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in text:
        _refuse_picture("SVG")
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        _refuse("an HTML page; the address may need a sign-in")
    if text.startswith(b"<"):
        _refuse("an XML document")
    if text.startswith((b"{", b"[")):
        _refuse("a JSON document")
    if b"\0" not in sample and all(byte >= 32 or byte in b"\t\n\r\f" for byte in sample):
        _refuse("text")


def _refuse_picture(name: str) -> NoReturn:
    raise ImageUnreadable(
        "unsupported_format", f"{name} is not read here; convert it to one of jpeg, png, webp, gif, bmp, tiff, avif"
    )


def _refuse(name: str) -> NoReturn:
    raise ImageUnreadable("not_an_image", f"found {name}; expected jpeg, png, webp, gif, bmp, tiff or avif")
