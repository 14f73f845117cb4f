"""Arrays that are too large for JSON, as bytes beside the record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.opencv import import_cv2


def encode_png(plane: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """`(height, width)` of 8 or 16 bits as a grey PNG, which keeps every value."""
    done, encoded = import_cv2().imencode(".png", plane)
    if not done:
        raise ValueError(f"an array of {plane.shape} {plane.dtype} cannot be written as PNG")
    return bytes(encoded)


def decode_png(data: bytes, hw: tuple[int, int]) -> npt.NDArray[Any]:
    """The plane that `encode_png` wrote, 8 or 16 bits.

    Raises:
        ValueError: the bytes are not a grey PNG of this height and width.
    """
    cv2 = import_cv2()
    plane = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED) if data else None
    if plane is None or plane.shape != hw:
        found = "no PNG" if plane is None else str(plane.shape)
        raise ValueError(f"the blob of this record should be a grey PNG of {hw} (height, width), found {found}")
    return plane  # type: ignore[no-any-return]
