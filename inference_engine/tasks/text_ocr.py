"""Text recognition without places: one text an image, such as a line that was cut out before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_engine.tasks.parts import records
from inference_engine.tasks.parts.drawing import Image, draw_prediction

TASK = "text-only-ocr"


@dataclass(frozen=True, slots=True)
class RecognizedText:
    """The text of one image; a call has no parameters.

    Attributes:
        text: as it was read, lines parted by newlines.
        image_hw: height and width of the original image in pixels.
        confidence: 0 to 1; None where the model says none.
    """

    text: str
    image_hw: tuple[int, int]
    confidence: float | None = None

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same back."""
        return {"task": TASK, "image_hw": list(self.image_hw), "text": self.text, "text_confidence": self.confidence}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> RecognizedText:  # noqa: ARG003 (as every task's)
        """The prediction that `to_record` wrote."""
        return cls(record["text"], records.image_hw(record), record["text_confidence"])


PREDICTION = RecognizedText
