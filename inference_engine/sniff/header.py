"""What a header says, what is allowed, and the refusals that several formats share."""

from __future__ import annotations

from dataclasses import dataclass

from inference_engine.errors import ImageUnreadable


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The declared form of one picture, before any orientation is applied.

    Attributes:
        bits: bits a sample as stored; more than 8 are cut down to the upper 8 when the picture is decoded.
    """

    format: str
    width: int
    height: int
    bits: int = 8

    @property
    def pixels(self) -> int:
        """Pixels of the whole picture."""
        return self.width * self.height


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """How much one picture may ask for.

    Decoding takes about 2 x 3 bytes a pixel (jpeg, png) to 2.7 x 3 (gif): 50 million pixels stay below 400 MB.

    Attributes:
        max_scans: of a progressive JPEG; libjpeg writes 10, the densest scripts of mozjpeg fewer than 100.
        max_scan_pixels: scans x pixels; each visits every coefficient, and two thousand million take about 2 s.
        max_pixels_per_byte: of formats without a bound of their own; blank fax pages come to 15,000.
        ratio_free_pixels: pictures up to this size pass the rule above: a blank full-HD frame is 50 bytes of WebP.
    """

    max_pixels: int = 50_000_000
    max_side: int = 32_768
    max_scans: int = 100
    max_scan_pixels: int = 2_000_000_000
    max_pixels_per_byte: int = 20_000
    ratio_free_pixels: int = 4_000_000


DEFAULT_LIMITS = ImageLimits()


def truncated(found: str) -> ImageUnreadable:
    """The error of a file that ends before its picture does."""
    return ImageUnreadable("image_truncated", f"{found}; copy or download the file again")


def corrupt(found: str) -> ImageUnreadable:
    """The error of a file whose structure contradicts itself."""
    return ImageUnreadable("image_corrupt", found)


def too_deep(found: str) -> ImageUnreadable:
    """The error of samples that are not 1 to 16-bit integers."""
    return ImageUnreadable("unsupported_depth", f"{found}; convert it to 8 bits a sample")


def check_size(header: ImageHeader, limits: ImageLimits) -> None:
    """Refuse no pixels, too many, or too long a side."""
    found = f"{header.format} of {header.width} x {header.height} pixels"
    if header.width <= 0 or header.height <= 0:
        raise ImageUnreadable("image_zero_size", f"{found}; expected at least 1 x 1")
    if max(header.width, header.height) > limits.max_side:
        raise ImageUnreadable("image_too_large", f"{found}; the longest side that is read is {limits.max_side}")
    if header.pixels > limits.max_pixels:
        raise ImageUnreadable("image_too_large", f"{found}; at most {limits.max_pixels} pixels are read")


def check_ratio(header: ImageHeader, n_bytes: int, limits: ImageLimits) -> None:
    """Refuse a picture whose declared size is above the limits or out of all proportion to its bytes."""
    check_size(header, limits)
    if header.pixels > limits.ratio_free_pixels:
        check_bound(header, n_bytes, limits.max_pixels_per_byte)


def check_bound(header: ImageHeader, n_bytes: int, pixels_per_byte: int) -> None:
    """Refuse more pixels than `n_bytes` of this format can hold."""
    if header.pixels > n_bytes * pixels_per_byte:
        raise ImageUnreadable(
            "image_bomb",
            f"{header.format} declares {header.width} x {header.height} pixels in {n_bytes} bytes; "
            f"at most {pixels_per_byte} pixels a byte are believed",
        )
