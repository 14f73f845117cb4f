"""Text in OpenCV 5's own font, which has all of Unicode's usual letters, or in OpenCV 4's ASCII strokes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drawing.colours import Colour


@dataclass(frozen=True, slots=True)
class Lettering:
    """Letters of one size in pixels."""

    cv2: Any
    pixels: int

    def size(self, text: str) -> tuple[int, int]:
        """Width and height of a line."""
        if self._font is None:
            (width, height), below = self.cv2.getTextSize(text, self.cv2.FONT_HERSHEY_SIMPLEX, self.pixels / 26, 1)
            return width, height + below // 2
        width = self.cv2.getTextSize((1 << 15, 1 << 15), text, (0, 0), self._font, self.pixels, 600)[2]
        return width, round(self.pixels * 0.8)

    def put(self, image: Any, text: str, at: tuple[int, int], colour: Colour) -> None:
        """Write a line, its left lower corner at a point."""
        if self._font is None:
            stroke = max(1, self.pixels // 14)
            face = self.cv2.FONT_HERSHEY_SIMPLEX
            self.cv2.putText(image, text, at, face, self.pixels / 26, colour, stroke, self.cv2.LINE_AA)
        else:
            self.cv2.putText(image, text, at, colour, self._font, self.pixels, 600, wrap=(0, 1 << 15))

    @property
    def _font(self) -> Any:
        return self.cv2.FontFace("sans") if hasattr(self.cv2, "FontFace") else None
