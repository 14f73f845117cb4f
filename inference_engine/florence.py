"""What Florence-2 can be asked beside free prompts, each answer as the prediction of its behaviour.

A model says no confidence: every box has 1. Class names are those of one image's answer, in the order of their first
mention, unless the caller named classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import ParameterInvalid
from inference_engine.families.hf_generative.florence import Places, lines, places, plain, region
from inference_engine.images import Boxes
from inference_engine.interfaces import PromptModel
from inference_engine.tasks.detection import Detections
from inference_engine.tasks.prompting import PromptAnswer
from inference_engine.tasks.structured_ocr import StructuredText
from inference_engine.tasks.text_ocr import RecognizedText

#: How much a caption says -> the task that says so much.
CAPTIONS = {"short": "<CAPTION>", "detailed": "<DETAILED_CAPTION>", "paragraph": "<MORE_DETAILED_CAPTION>"}
#: What a region is asked for -> the task.
REGIONS = {"category": "<REGION_TO_CATEGORY>", "description": "<REGION_TO_DESCRIPTION>", "text": "<REGION_TO_OCR>"}
_PART = ("line",)


def caption(model: PromptModel, images: Any, *, detail: str = "short", **params: Any) -> list[str]:
    """One caption an image; `detail` is `short`, `detailed` or `paragraph`.

    Raises:
        ParameterInvalid: another detail.
    """
    return [plain(answer.text) for answer in _answers(model, images, _known(CAPTIONS, detail, "detail"), params)]


def detect(model: PromptModel, images: Any, *, text: str | None = None, **params: Any) -> list[Detections]:
    """Boxes of everything that the model has a word for, or of what a text names."""
    prompt = "<OD>" if text is None else f"<OPEN_VOCABULARY_DETECTION>{text}"
    return [_detections(answer) for answer in _answers(model, images, prompt, params)]


def describe_regions(model: PromptModel, images: Any, **params: Any) -> list[Detections]:
    """Boxes, each with a description as its class."""
    return [_detections(answer) for answer in _answers(model, images, "<DENSE_REGION_CAPTION>", params)]


def ground(model: PromptModel, images: Any, caption: str, **params: Any) -> list[Detections]:
    """Boxes of the things that a caption speaks of, its phrases as classes."""
    prompt = f"<CAPTION_TO_PHRASE_GROUNDING>{caption}"
    return [_detections(answer) for answer in _answers(model, images, prompt, params)]


def read_text(model: PromptModel, images: Any, **params: Any) -> list[RecognizedText]:
    """The text of each image."""
    answers = _answers(model, images, "<OCR>", params)
    return [RecognizedText(plain(answer.text), answer.image_hw) for answer in answers]


def read_lines(model: PromptModel, images: Any, **params: Any) -> list[StructuredText]:
    """The lines of text of each image, with the boxes around them."""
    return [_lines(answer) for answer in _answers(model, images, "<OCR_WITH_REGION>", params)]


def about_region(
    model: PromptModel,
    image: Any,
    xyxy: tuple[float, float, float, float],
    image_hw: tuple[int, int],
    *,
    asked: str = "description",
    **params: Any,
) -> str:
    """What stands in a box of one image: its `category`, a `description` or the `text` in it.

    Args:
        xyxy: in pixels of the image.
        image_hw: its height and width.

    Raises:
        ParameterInvalid: something else is asked.
    """
    prompt = _known(REGIONS, asked, "asked") + region(xyxy, image_hw)
    (answer,) = _answers(model, image, prompt, params)
    return plain(answer.text)


def _answers(model: PromptModel, images: Any, prompt: str, params: dict[str, Any]) -> list[PromptAnswer]:
    return model(images, prompt=prompt, skip_special_tokens=False, **params)


def _known(table: dict[str, str], name: str, what: str) -> str:
    if name not in table:
        raise ParameterInvalid(f"{what} must be one of {', '.join(table)}, found {name!r}")
    return table[name]


def _detections(answer: PromptAnswer) -> Detections:
    found: Places = places(answer.text, answer.image_hw)
    names = tuple(dict.fromkeys(found.labels))
    ids = np.asarray([names.index(label) for label in found.labels], dtype=np.int64)
    return Detections(found.xyxy, _sure(found.xyxy), ids, answer.image_hw, names)


def _lines(answer: PromptAnswer) -> StructuredText:
    found = lines(answer.text, answer.image_hw)
    ids = np.zeros(len(found.labels), dtype=np.int64)
    text = "\n".join(found.labels)
    return StructuredText(text, found.labels, found.xyxy, _sure(found.xyxy), ids, answer.image_hw, _PART)


def _sure(boxes: Boxes) -> npt.NDArray[np.float32]:
    return np.ones(len(boxes), dtype=np.float32)
