"""Maps that a network gives for its input (prototypes, logits, depth) as they lie over the original picture. Pure."""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from inference_engine.images import Fit, network_hw
from inference_engine.network_input import NetworkInput
from inference_engine.opencv import import_cv2

Plane = npt.NDArray[np.float32]  # (height, width)
Region = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the original; right and bottom excluded


def plane_step(plane_hw: tuple[int, ...], fit: Fit, network: NetworkInput) -> tuple[float, float]:
    """Plane pixels a network pixel, along x and y."""
    net_h, net_w = network_hw(fit, network)
    return plane_hw[1] / net_w, plane_hw[0] / net_h


def seen_region(fit: Fit, network: NetworkInput) -> Region:
    """The pixels of the original whose centres the network saw: without what a static or a centre crop cut away."""
    net_hw, crop_hw = network_hw(fit, network), fit.crop_hw or fit.original_hw
    spans = []
    for axis in (0, 1):
        scale, pad, offset = fit.scale_xy[axis], fit.pad_xy[axis], fit.offset_xy[axis]
        first, last = (ceil((edge - pad) / scale + offset - 0.5) for edge in (0, net_hw[1 - axis]))
        spans.append((max(first, offset), min(last, offset + crop_hw[1 - axis])))
    (left, right), (top, bottom) = spans
    return left, top, right, bottom


def picture_part(plane_hw: tuple[int, ...], fit: Fit, step: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a plane that lie over the picture, without its padding, to the nearest whole ones.

    Beyond the picture's border its own outermost values are to be repeated, not what the network makes of padding.
    """
    crop_hw, spans = fit.crop_hw or fit.original_hw, []
    for axis in (1, 0):
        start, size = fit.pad_xy[axis] * step[axis], crop_hw[1 - axis] * fit.scale_xy[axis] * step[axis]
        first = min(max(round(start), 0), plane_hw[1 - axis] - 1)
        spans.append(slice(first, min(max(round(start + size), first + 1), plane_hw[1 - axis])))
    return spans[0], spans[1]


def at_pixels(
    plane: Plane, region: Region, fit: Fit, step: tuple[float, float], origin: tuple[int, int] = (0, 0)
) -> Plane:
    """The plane at every pixel of a region of the original image, bilinear between its centres.

    The same as a bilinear resize (corners not aligned), and right where the padding is no whole number of its pixels.

    Args:
        step: plane pixels a network pixel, along x and y.
        origin: row and column at which the plane begins, where it is only a part of what the network gave.
    """
    cv2 = import_cv2()
    left, top, right, bottom = region
    scale = [fit.scale_xy[axis] * step[axis] for axis in (0, 1)]
    first = [
        ((corner + 0.5 - fit.offset_xy[axis]) * fit.scale_xy[axis] + fit.pad_xy[axis]) * step[axis]
        - 0.5
        - origin[1 - axis]
        for axis, corner in enumerate((left, top))
    ]
    back = np.asarray([[scale[0], 0, first[0]], [0, scale[1], first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    sampled: Plane = cv2.warpAffine(
        plane, back, (right - left, bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled
