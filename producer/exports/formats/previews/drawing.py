"""Boxes and labels on one picture, readable on any background and at any size."""

from __future__ import annotations

import colorsys
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    Image = NDArray[np.uint8]

_MAX_SIDE = 1280
_JPEG_QUALITY = 88
# Steps of the golden ratio spread hues so that neighbouring class ids differ.
_GOLDEN_RATIO = 0.618034
# Rec. 709 luma of blue, green, red; above the middle, black text reads better than white.
_LUMA_BGR = (0.0722, 0.7152, 0.2126)
# The second line behind the workers' guard; OpenCV looks at it once, at its first import.
_MAX_PIXELS = "50000000"

_Colour = tuple[int, int, int]


class PreviewFailed(Exception):
    """One picture cannot be drawn."""


def decode(data: bytes) -> Image:
    """Decode to `(H, W, 3)` BGR, upright.

    Raises:
        PreviewFailed: the bytes are no picture any more.
    """
    cv2 = _import_cv2()
    try:
        image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    except cv2.error as error:
        raise PreviewFailed("the picture cannot be decoded any more") from error
    if image is None:
        raise PreviewFailed("the picture cannot be decoded any more")
    return image


def draw_preview(image: Image, record: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Shrink to 1280 pixels a side at most, draw the boxes, write `path`; gives its height and width.

    Args:
        image: `(H, W, 3)` BGR, drawn upon.

    Raises:
        PreviewFailed: this is not the picture that was labelled.
    """
    cv2 = _import_cv2()
    if list(image.shape[:2]) != list(record.get("image_hw") or image.shape[:2]):
        raise PreviewFailed("the file is another picture than the one that was labelled")
    scale = min(1.0, _MAX_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _draw_boxes(cv2, image, record, scale)
    return _write(cv2, image, path)


def class_colour(class_id: int) -> _Colour:
    """Blue, green, red of one class, the same in every picture and every job."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1, 0.78, 0.96)
    return round(blue * 255), round(green * 255), round(red * 255)


def _draw_boxes(cv2: Any, image: Image, record: Mapping[str, Any], scale: float) -> None:
    """Least confident first, so that the surest labels lie on top."""
    columns = (record.get(key) or () for key in ("confidence", "class_id", "class_name", "xyxy"))
    boxes = sorted(zip(*columns, strict=True), key=lambda box: float(box[0]))
    pen = _Pen(cv2, max(image.shape[:2]))
    drawn = [(tuple(round(value * scale) for value in xyxy), name, score, id_) for score, id_, name, xyxy in boxes]
    for corners, _, _, class_id in drawn:
        pen.rectangle(image, corners, class_colour(class_id))
    for corners, name, score, class_id in drawn:
        pen.label(image, corners, f"{name} {score:.2f}", class_colour(class_id))


class _Pen:
    """Line width and letter size that fit the picture."""

    def __init__(self, cv2: Any, side: int) -> None:
        self._cv2 = cv2
        self._width = max(1, round(side / 400))
        self._text = _Lettering(cv2, min(32, max(11, round(side / 36))))

    def rectangle(self, image: Image, corners: tuple[int, ...], colour: _Colour) -> None:
        """A coloured line on a dark, wider one: seen on white, on black and on its own colour."""
        for bgr, width in (((20, 20, 20), self._width + 2), (colour, self._width)):
            self._cv2.rectangle(image, corners[:2], corners[2:], bgr, width, self._cv2.LINE_AA)

    def label(self, image: Image, corners: tuple[int, ...], text: str, colour: _Colour) -> None:
        """Text on a plate of the class's colour above the box, or inside it where the picture ends."""
        width, height = self._text.size(text)
        pad = max(2, height // 4)
        plate_w, plate_h = width + 2 * pad, height + 2 * pad
        left = max(0, min(corners[0], image.shape[1] - plate_w))
        top = corners[1] - plate_h if corners[1] >= plate_h else max(0, corners[1])
        self._cv2.rectangle(image, (left, top), (left + plate_w, top + plate_h), colour, self._cv2.FILLED)
        is_light = float(np.dot(colour, _LUMA_BGR)) > 128
        self._text.put(image, text, (left + pad, top + pad + height), (0, 0, 0) if is_light else (255, 255, 255))


@dataclass(frozen=True, slots=True)
class _Lettering:
    """Text in OpenCV 5's own font, which has all of Unicode's usual letters, or in OpenCV 4's ASCII strokes."""

    cv2: Any
    pixels: int

    def size(self, text: str) -> tuple[int, int]:
        if self._font is None:
            (width, height), below = self.cv2.getTextSize(text, self.cv2.FONT_HERSHEY_SIMPLEX, self.pixels / 26, 1)
            return width, height + below // 2
        width = self.cv2.getTextSize((1 << 15, 1 << 15), text, (0, 0), self._font, self.pixels, 600)[2]
        return width, round(self.pixels * 0.8)

    def put(self, image: Image, text: str, at: tuple[int, int], colour: _Colour) -> None:
        if self._font is None:
            stroke = max(1, self.pixels // 14)
            face = self.cv2.FONT_HERSHEY_SIMPLEX
            self.cv2.putText(image, text, at, face, self.pixels / 26, colour, stroke, self.cv2.LINE_AA)
        else:
            self.cv2.putText(image, text, at, colour, self._font, self.pixels, 600, wrap=(0, 1 << 15))

    @property
    def _font(self) -> Any:
        return self.cv2.FontFace("sans") if hasattr(self.cv2, "FontFace") else None


def _write(cv2: Any, image: Image, path: Path) -> tuple[int, int]:
    options = [] if path.suffix.lower() == ".png" else [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    is_encoded, encoded = cv2.imencode(path.suffix.lower(), image, options)
    if not is_encoded:
        raise PreviewFailed(f"OpenCV cannot write {path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded.tobytes())
    return image.shape[0], image.shape[1]


def _import_cv2() -> Any:
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", _MAX_PIXELS)
    import cv2

    return cv2
