"""Text recognition with places: blocks, lines or words, each with its text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import supervision_detections

TASK = "structured-ocr"


@dataclass(frozen=True, slots=True)
class StructuredOCRParams:
    """What a call or a job may ask of a reader of text.

    Attributes:
        confidence: parts below it are left out, 0 to 1.
    """

    confidence: float = 0.0


def structured_ocr_params(given: Mapping[str, Any]) -> StructuredOCRParams:
    """Check what was given.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, StructuredOCRParams, "a reader of text")
    confidence = given.get("confidence")
    return StructuredOCRParams(parameters.share(0.0 if confidence is None else confidence, "confidence"))


@dataclass(frozen=True, slots=True, eq=False)
class StructuredText:
    """Parts of a text and where they stand in one image.

    Attributes:
        text: the whole, in reading order.
        texts: of each part, in reading order.
        xyxy: `(n, 4)` float32, pixels of the original upright image, `x_min, y_min, x_max, y_max`.
        confidence: `(n,)` float32 in [0, 1], in the same order.
        class_id: `(n,)` int64, what the part is: index into the class names (`block`, `line`, `word` ...).
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
    """

    text: str
    texts: tuple[str, ...]
    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        records.check_rows(self, len(self), xyxy=(4,), confidence=(), class_id=())

    def __len__(self) -> int:
        return len(self.texts)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """What each part is."""
        return records.names_of(self.class_id, self.class_names)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back."""
        boxes = records.numbers(self.xyxy)
        return {**records.scored(TASK, self), "xyxy": boxes, "text": self.text, "texts": list(self.texts)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> StructuredText:
        """The prediction that `to_record` wrote."""
        return cls(
            record["text"],
            tuple(record["texts"]),
            records.floats(record["xyxy"], -1, 4),
            *records.scores(record),
            records.image_hw(record),
            tuple(class_names),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with the texts in its data.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return supervision_detections(self, self.xyxy, text=np.asarray(self.texts, dtype=str))


PREDICTION = StructuredText
