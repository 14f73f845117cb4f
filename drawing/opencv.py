"""OpenCV, imported when something is drawn."""

from __future__ import annotations

import os
from types import ModuleType

# The second line behind the workers' guard; OpenCV looks at it once, at its first import.
_MAX_PIXELS = "50000000"


def import_cv2() -> ModuleType:
    """OpenCV, with its own limit on pictures set unless the process has one already."""
    os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", _MAX_PIXELS)
    import cv2

    return cv2
