"""The one door to OpenCV: its own limits are set before its first import, because later it does not look again."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from inference_engine.sniff import DEFAULT_LIMITS

if TYPE_CHECKING:
    from types import ModuleType

_ENVIRONMENT = {
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(DEFAULT_LIMITS.max_pixels),
    "OPENCV_IO_MAX_IMAGE_WIDTH": str(DEFAULT_LIMITS.max_side),
    "OPENCV_IO_MAX_IMAGE_HEIGHT": str(DEFAULT_LIMITS.max_side),
    # What is wrong with a picture becomes its outcome; a line on stderr for each would bury what concerns the worker.
    "OPENCV_LOG_LEVEL": "ERROR",
}


def import_cv2() -> ModuleType:
    """OpenCV with one thread and with its picture limits set; every engine module takes it from here.

    The limits are the second line behind `inference_engine.sniff`. What the process environment already says is kept.
    One thread, because workers run several pictures side by side and OpenCV's pool would fight them for cores.
    """
    if "cv2" in sys.modules:
        return sys.modules["cv2"]  # whoever imported it first has chosen its limits and threads
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import cv2

    cv2.setNumThreads(1)
    return cv2
