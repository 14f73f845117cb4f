"""The one way from a prediction to a picture of it: by its record, as exports draw it."""

from __future__ import annotations

from typing import Any, Protocol

from drawing import draw_record
from drawing.canvas import Image
from inference_engine.opencv import import_cv2

__all__ = ["Image", "draw_prediction"]


class _Recorded(Protocol):
    def to_record(self) -> dict[str, Any]: ...


def draw_prediction(image: Image, prediction: _Recorded) -> Image:
    """A new picture with the prediction on it.

    Raises:
        ValueError: the image is no picture `(H, W, 3)` uint8.
    """
    import_cv2()  # by the engine's own door first, which holds for all threads
    to_blob = getattr(prediction, "to_blob", None)
    return draw_record(image, prediction.to_record(), to_blob() if to_blob else None)
