"""Arrays that are too large for JSON, as bytes beside the record."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from inference_engine.opencv import import_cv2


def encode_png(plane: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """`(height, width)` of 8 or 16 bits as a grey PNG, which keeps every value."""
    done, encoded = import_cv2().imencode(".png", plane)
    if not done:
        raise ValueError(f"an array of {plane.shape} {plane.dtype} cannot be written as PNG")
    return bytes(encoded)
