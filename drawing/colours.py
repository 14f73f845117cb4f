"""One colour a class, the same in every picture, page and job."""

from __future__ import annotations

import colorsys

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]  # red, green, blue

# Steps of the golden ratio spread hues so that neighbouring class ids differ.
_GOLDEN_RATIO = 0.618034
# Rec. 709 luma of red, green, blue; above the middle, black text reads better than white.
_LUMA = (0.2126, 0.7152, 0.0722)
DARK: Colour = (20, 20, 20)


def class_colour(class_id: int) -> Colour:
    """Red, green, blue of a class."""
    red, green, blue = colorsys.hsv_to_rgb(class_id * _GOLDEN_RATIO % 1, 0.78, 0.96)
    return round(red * 255), round(green * 255), round(blue * 255)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever reads better on a colour."""
    return (0, 0, 0) if float(np.dot(colour, _LUMA)) > 128 else (255, 255, 255)


def colour_table(highest: int) -> npt.NDArray[np.uint8]:
    """`(highest + 1, 3)`: colours by class id."""
    return np.asarray([class_colour(class_id) for class_id in range(highest + 1)], dtype=np.uint8)
