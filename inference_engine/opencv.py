"""The one door to OpenCV: its own limits are set before its first import, because later it does not look again."""

from __future__ import annotations

import os
import sys
import threading
from types import ModuleType

from inference_engine.sniff import DEFAULT_LIMITS

_ENVIRONMENT = {
    "OPENCV_IO_MAX_IMAGE_PIXELS": str(DEFAULT_LIMITS.max_pixels),
    "OPENCV_IO_MAX_IMAGE_WIDTH": str(DEFAULT_LIMITS.max_side),
    "OPENCV_IO_MAX_IMAGE_HEIGHT": str(DEFAULT_LIMITS.max_side),
    # What is wrong with a picture becomes its outcome; a line on stderr for each would bury what concerns the worker.
    "OPENCV_LOG_LEVEL": "ERROR",
}


_lock = threading.Lock()
_imported: list[ModuleType] = []


def import_cv2() -> ModuleType:
    """OpenCV with one thread and with its picture limits set; every engine module takes it from here.

    The limits are the second line behind `inference_engine.sniff`. What the process environment already says is kept.
    One thread, because workers run several pictures side by side and OpenCV's pool would fight them for cores.
    """
    # OpenCV's package takes itself out of `sys.modules` while it loads, so that Python's own lock does not hold: a
    # second thread got a module without `imdecode` (seen with OpenCV 5.0).
    if not _imported:
        with _lock:
            if not _imported:
                _imported.append(_import())
    return _imported[0]


def _import() -> ModuleType:
    is_first = "cv2" not in sys.modules  # else whoever imported it first has chosen its limits and threads
    if is_first:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    import cv2

    if is_first:
        cv2.setNumThreads(1)
    return cv2
