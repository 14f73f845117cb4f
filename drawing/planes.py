"""Maps that lie beside a record as a grey PNG."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from drawing.opencv import import_cv2


def read_plane(blob: bytes | None, hw: tuple[int, int]) -> npt.NDArray[Any]:
    """The plane `(height, width)`, of 8 or 16 bits.

    Raises:
        ValueError: the bytes are not a grey PNG of this size.
    """
    cv2 = import_cv2()
    plane = cv2.imdecode(np.frombuffer(blob, dtype=np.uint8), cv2.IMREAD_UNCHANGED) if blob else None
    if plane is None or plane.shape != hw:
        found = "no PNG" if plane is None else str(plane.shape)
        raise ValueError(f"the blob of this record should be a grey PNG of {hw} (height, width), found {found}")
    return plane  # type: ignore[no-any-return]
