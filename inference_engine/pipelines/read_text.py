"""A detector finds lines or words of text, a reader says what each says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from inference_engine.cutting import checked, close_all, detect_and_cut
from inference_engine.images import Boxes
from inference_engine.interfaces import ObjectDetectionModel, TextOnlyOCRModel
from inference_engine.roles import Role
from inference_engine.tasks import detection, text_ocr
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.structured_ocr import StructuredText
from inference_engine.tasks.text_ocr import RecognizedText

ROLES = {
    "detector": Role(ObjectDetectionModel, detection.TASK),
    "reader": Role(TextOnlyOCRModel, text_ocr.TASK),
}


class ReadText:
    """The pipeline; `models` are the detector and the reader."""

    def __init__(self, detector: ObjectDetectionModel, reader: TextOnlyOCRModel) -> None:
        self.detector, self.reader = detector, reader

    @property
    def class_names(self) -> tuple[str, ...]:
        """What parts of a text may be: the detector's classes."""
        return tuple(self.detector.class_names)

    def __call__(
        self,
        images: Any,
        *,
        input_color_format: str | None = None,
        margin: float = 0.0,
        detector: Mapping[str, Any] | None = None,
    ) -> list[StructuredText]:
        """Find text, cut each box out, read all cuts of all images together.

        Args:
            images: see `VisionModel.__call__`.
            margin: what is cut out beyond each side of a box, as a share of its width and height, 0 to 1.
            detector: the detector's own parameters.

        Returns:
            One an image, its parts in reading order; what nothing was read in is left out. A part's confidence is the
            reader's, or the detector's where the reader says none.

        Raises:
            ParameterInvalid: the margin is out of range; or what the models raise.
            OutputInvalid: a model did not give one prediction of its kind for each picture.
        """
        found, cuts = detect_and_cut(self.detector, images, input_color_format, margin, detector)
        # One call for all: the reader fills its batches across boxes and images. It is not asked about nothing.
        read = iter(checked(self.reader(cuts, input_color_format="rgb") if cuts else [], RecognizedText, len(cuts)))
        return [_structured(boxes, [next(read) for _ in range(len(boxes))]) for boxes in found]

    def close(self) -> None:
        """Close both models, as far as they can be closed."""
        close_all((self.detector, self.reader))


def make(models: Mapping[str, Any]) -> ReadText:
    """The pipeline of a detector and a reader."""
    return ReadText(models["detector"], models["reader"])


def reading_lines(xyxy: Boxes) -> list[list[int]]:
    """Indices of boxes, line by line from the top, each line from the left.

    A box belongs to the line whose first box has the middle of its height between its own top and bottom.

    Args:
        xyxy: `(n, 4)`.
    """
    lines: list[list[int]] = []
    for index in np.argsort(xyxy[:, 1] + xyxy[:, 3], kind="stable").tolist():
        middle = (xyxy[index, 1] + xyxy[index, 3]) / 2
        line = next((line for line in lines if xyxy[line[0], 1] <= middle < xyxy[line[0], 3]), None)
        if line is None:
            lines.append([index])
        else:
            line.append(index)
    return [sorted(line, key=lambda index: float(xyxy[index, 0])) for line in lines]


def _structured(boxes: Detections, read: Sequence[RecognizedText]) -> StructuredText:
    lines = [[index for index in line if read[index].text.strip()] for line in reading_lines(boxes.xyxy)]
    order = [index for line in lines for index in line]
    told = (read[index].confidence for index in order)
    confidence = [boxes.confidence[index] if own is None else own for index, own in zip(order, told, strict=True)]
    return StructuredText(
        "\n".join(" ".join(read[index].text for index in line) for line in lines if line),
        tuple(read[index].text for index in order),
        boxes.xyxy[order],
        np.asarray(confidence, dtype=np.float32),
        boxes.class_id[order],
        boxes.image_hw,
        boxes.class_names,
    )
