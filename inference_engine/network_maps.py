"""Maps that a network gives on a coarse grid, at every pixel of the original image, some rows at a time.

A map of 150 classes at 1080p would be 1.2 GB; a stripe of it is bounded whatever the classes are.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from inference_engine.images import Fit
from inference_engine.network_input import NetworkInput
from inference_engine.planes import at_pixels, picture_part, plane_step

Maps = npt.NDArray[np.float32]  # (maps, h, w)
#: Numbers of a stripe at most, all maps together: 16 MB.
_STRIPE = 4_000_000


def sampled_stripes(maps: Maps, fit: Fit, network: NetworkInput) -> Iterator[tuple[slice, Maps]]:
    """Rows of the original from the top, and the maps there `(maps, rows, width)`, bilinear between the grid's centres.

    The padding is cut off first, so that nothing of it bleeds into the picture. Pixels outside of a crop, which the
    network has not seen, are as the nearest that it saw.
    """
    step = plane_step(maps.shape[1:], fit, network)
    rows, columns = picture_part(maps.shape[1:], fit, step)
    seen = [np.ascontiguousarray(plane[rows, columns]) for plane in maps]
    origin = rows.start, columns.start
    height, width = fit.original_hw
    count = max(1, _STRIPE // (len(maps) * width))
    for start in range(0, height, count):
        stop = min(start + count, height)
        region = (0, start, width, stop)
        yield slice(start, stop), np.stack([at_pixels(plane, region, fit, step, origin) for plane in seen])
