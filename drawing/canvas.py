"""A copy of a picture to draw on, with a pen and letters that fit its size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.colours import DARK, Colour, ink_on
from drawing.lettering import Lettering
from drawing.opencv import import_cv2

Image = npt.NDArray[np.uint8]  # (H, W, 3), RGB
Point = tuple[int, int]
Place = tuple[int, int, int, int]  # left, top, right, bottom
#: Plates after which no free place is looked for: a picture with so many is covered anyway.
_SEARCHED = 200
#: OpenCV draws between 16-bit coordinates without overflow.
_FARTHEST = 30_000


@dataclass(frozen=True, slots=True)
class Canvas:
    """What is drawn on; drawing changes `image` in place.

    Attributes:
        scale_xy: canvas pixels a pixel of the picture that the record is of.
        width: of a line in pixels.
    """

    image: Image
    scale_xy: tuple[float, float]
    width: int
    letters: Lettering

    @classmethod
    def of(cls, image: Image, original_hw: Sequence[int]) -> Canvas:
        """A canvas with a copy of the picture."""
        side = max(image.shape[:2])
        scale = image.shape[1] / original_hw[1], image.shape[0] / original_hw[0]
        letters = Lettering(import_cv2(), min(32, max(11, round(side / 36))))
        return cls(np.array(image, order="C"), scale, max(2, round(side / 400)), letters)

    def points(self, xy: Any) -> npt.NDArray[np.int32]:
        """Points `(..., 2)` of the original as whole pixels of the canvas; far outside they stop, as OpenCV must."""
        placed = np.clip(np.asarray(xy, dtype=np.float64) * self.scale_xy, -_FARTHEST, _FARTHEST)
        found: npt.NDArray[np.int32] = np.rint(placed).astype(np.int32)
        return found

    def lines(self, points: npt.NDArray[np.int32], colour: Colour, *, is_closed: bool) -> None:
        """A coloured line on a dark, wider one: seen on white, on black and on its own colour."""
        cv2 = import_cv2()
        for ink, width in ((DARK, self.width + 2), (colour, self.width)):
            cv2.polylines(self.image, [points.reshape(-1, 1, 2)], is_closed, ink, width, cv2.LINE_AA)

    def dot(self, at: Point, colour: Colour) -> None:
        """A filled point on a dark, wider one."""
        cv2 = import_cv2()
        radius = self.width + 2
        for ink, size in ((DARK, radius + 1), (colour, radius)):
            cv2.circle(self.image, at, size, ink, cv2.FILLED, cv2.LINE_AA)

    def plate(self, corner: Point, text: str, colour: Colour, *, is_below: bool = False) -> int:
        """Text on a plate of a colour above a corner, or below it where the picture ends; gives the plate's height."""
        place = self._place(corner, text, is_below=is_below)
        self._put(place, text, colour)
        return place[3] - place[1]

    def plates(self, labels: Sequence[tuple[Point, str, Colour]]) -> None:
        """Plates above their corners; one that would lie on an earlier one goes below that.

        Where the picture has no room for it there, it stays and the earlier one lies on top.
        """
        places: list[Place] = []
        for corner, text, _ in labels:
            natural = self._place(corner, text)
            is_searched = len(places) < _SEARCHED
            places.append(_free(natural, places, self.image.shape[0]) if is_searched else natural)
        for (_, text, colour), place in reversed(list(zip(labels, places, strict=True))):
            self._put(place, text, colour)

    def _place(self, corner: Point, text: str, *, is_below: bool = False) -> Place:
        width, height = self.letters.size(text)
        pad = _pad(height)
        plate_w, plate_h = width + 2 * pad, height + 2 * pad
        left = max(0, min(corner[0], self.image.shape[1] - plate_w))
        top = max(0, corner[1]) if is_below or corner[1] < plate_h else corner[1] - plate_h
        return left, top, left + plate_w, top + plate_h

    def _put(self, place: Place, text: str, colour: Colour) -> None:
        left, top, right, bottom = place
        cv2 = import_cv2()
        cv2.rectangle(self.image, (left, top), (right, bottom), colour, cv2.FILLED)
        pad = _pad(self.letters.size(text)[1])
        self.letters.put(self.image, text, (left + pad, bottom - pad), ink_on(colour))

    def blend(self, where: npt.NDArray[np.bool_], colours: npt.NDArray[np.uint8], share: float) -> None:
        """Mix colours into the picture where it is wanted.

        Args:
            where: `(h, w)` of the original's size; it is sized to the canvas, to the nearest pixel.
            colours: `(h, w, 3)`, or `(3,)` for one.
        """
        chosen = self.sized(where.view(np.uint8)).view(np.bool_)
        ink = self.sized(colours)[chosen] if colours.ndim == 3 else colours
        mixed = self.image[chosen] * np.float32(1 - share) + ink * np.float32(share)
        self.image[chosen] = np.rint(mixed).astype(np.uint8)

    def sized(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A plane of the original's size in the canvas's, to the nearest pixel."""
        if plane.shape[:2] == self.image.shape[:2]:
            return plane
        cv2 = import_cv2()
        resized: npt.NDArray[Any] = cv2.resize(plane, self.image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return resized


def _pad(height: int) -> int:
    """Pixels between a plate's letters of this height and its edge."""
    return max(2, height // 4)


def _free(natural: Place, taken: Sequence[Place], end: int) -> Place:
    """The highest place from the natural one down that lies on no other, or the natural one where there is none."""
    left, top, right, bottom = natural
    height = bottom - top
    while bottom <= end:
        under = [each[3] for each in taken if each[0] < right and left < each[2] and each[1] < bottom and top < each[3]]
        if not under:
            return left, top, right, bottom
        top = max(under)
        bottom = top + height
    return natural
