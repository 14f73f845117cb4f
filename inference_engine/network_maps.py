"""Maps that a network gives on a coarse grid, at every pixel of the original image, some rows at a time.

A map of 150 classes at 1080p would be 1.2 GB; a stripe of it is bounded whatever the classes are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from inference_engine.images import Fit
from inference_engine.network_input import NetworkInput
from inference_engine.opencv import import_cv2
from inference_engine.planes import plane_step

Maps = npt.NDArray[np.float32]  # (maps, h, w)
#: Numbers of a stripe at most, all maps together: 16 MB.
_STRIPE = 4_000_000


def sampled_stripes(maps: Maps, fit: Fit, network: NetworkInput) -> Iterator[tuple[slice, Maps]]:
    """Rows of the original from the top, and the maps there `(maps, rows, width)`, bilinear between the grid's centres.

    The padding is cut off first, so that nothing of it bleeds into the picture. Pixels outside of a crop, which the
    network has not seen, are as the nearest that it saw.
    """
    cv2 = import_cv2()
    step = plane_step(maps.shape[1:], fit, network)
    (left, top), (right, bottom) = _inside(maps, fit, step)
    seen = [np.ascontiguousarray(plane[top:bottom, left:right]) for plane in maps]
    scale = [fit.scale_xy[axis] * step[axis] for axis in (0, 1)]
    height, width = fit.original_hw
    rows = max(1, _STRIPE // (len(maps) * width))
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        first = [
            ((corner + 0.5 - fit.offset_xy[axis]) * fit.scale_xy[axis] + fit.pad_xy[axis]) * step[axis] - 0.5 - cut
            for axis, corner, cut in ((0, 0, left), (1, start, top))
        ]
        back = np.asarray([[scale[0], 0, first[0]], [0, scale[1], first[1]]])
        flags, border = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, cv2.BORDER_REPLICATE
        size = (width, stop - start)
        yield (
            slice(start, stop),
            np.stack([cv2.warpAffine(plane, back, size, flags=flags, borderMode=border) for plane in seen]),
        )


def _inside(maps: Maps, fit: Fit, step: tuple[float, float]) -> tuple[tuple[int, int], tuple[int, int]]:
    """The grid's pixels that see the picture: the first column and row, and those after the last."""
    height, width = fit.crop_hw or fit.original_hw
    low, high = [], []
    for axis, size in enumerate((width, height)):
        first = fit.pad_xy[axis] * step[axis]
        last = (fit.pad_xy[axis] + size * fit.scale_xy[axis]) * step[axis]
        low.append(max(0, round(first)))
        high.append(max(low[-1] + 1, min(maps.shape[2 - axis], round(last))))
    return (low[0], low[1]), (high[0], high[1])
