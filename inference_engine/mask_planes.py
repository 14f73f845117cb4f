"""Masks that a network gives on a coarse grid, drawn in the original image one after the other.

A mask is where its plane is above 0 (a sigmoid above one half), sampled at every pixel of the original, bilinear
between the grid's centres. Only one mask is dense at a time, and only the part of it that can hold a pixel is sampled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes, Fit
from inference_engine.masks import InstancesRLEMasks
from inference_engine.planes import Plane, Region, at_pixels


def draw_masks(
    planes: Iterable[Plane], regions: Iterable[Region], fit: Fit, step_xy: tuple[float, float]
) -> InstancesRLEMasks:
    """Encode the masks of planes, each inside of its region.

    Args:
        planes: one an instance; looked at one at a time, so a generator bounds the memory.
        step_xy: pixels of the grid a network pixel, along x and y.
    """
    return InstancesRLEMasks.from_dense(_masks(planes, regions, fit, step_xy), fit.original_hw)


def box_regions(xyxy: Boxes) -> Iterator[Region]:
    """The pixels whose centre lies in each box `(n, 4)` of the original."""
    yield from np.ceil(xyxy - 0.5).astype(int).tolist()


def positive_region(plane: Plane, fit: Fit, step_xy: tuple[float, float]) -> Region:
    """The pixels of the original that may be above 0: those nearer than a grid's pixel to one that is.

    Beyond its border the grid goes on as it ends.
    """
    low, high = [], []
    for axis in (0, 1):
        places = np.flatnonzero((plane > 0).any(axis=axis))
        if not places.size:
            return 0, 0, 0, 0
        low.append(places[0] - 0.5 if places[0] > 0 else -np.inf)
        high.append(places[-1] + 1.5 if places[-1] < plane.shape[1 - axis] - 1 else np.inf)
    scale, pad, offset = (np.asarray(pair, dtype=np.float64) for pair in (fit.scale_xy, fit.pad_xy, fit.offset_xy))
    found = (np.asarray([low, high]) / step_xy - pad) / scale + offset
    whole = np.clip([np.floor(found[0]), np.ceil(found[1])], 0, fit.original_hw[::-1]).astype(int)
    (left, top), (right, bottom) = whole.tolist()
    return left, top, right, bottom


def _masks(
    planes: Iterable[Plane], regions: Iterable[Region], fit: Fit, step_xy: tuple[float, float]
) -> Iterator[npt.NDArray[np.bool_]]:
    """Each mask `(1, height, width)` of the original image, all in one buffer: it holds until the next is asked for."""
    height, width = fit.original_hw
    # The encoder reads columns, so the buffer lies column by column.
    columns = np.zeros((width, height), dtype=np.bool_)
    for plane, region in zip(planes, regions, strict=True):
        left, top, right, bottom = region
        if right > left and bottom > top:
            columns[left:right, top:bottom] = at_pixels(plane, region, fit, step_xy).T > 0
        yield columns.T[None]
        columns[left:right, top:bottom] = False
