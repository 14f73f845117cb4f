"""Florence-2's own words: a task is asked in words, and answers hold places as `<loc_0>` to `<loc_999>`.

Tasks, words and the reading of answers are those of transformers' `Florence2Processor` (transformers 5); a place is the
middle of one of a thousand equal steps along each side of the picture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference_engine.errors import ParameterInvalid
from inference_engine.images import Boxes

#: Tasks that stand alone, and what the model is asked for them.
_ALONE = {
    "<OCR>": "What is the text in the image?",
    "<OCR_WITH_REGION>": "What is the text in the image, with regions?",
    "<CAPTION>": "What does the image describe?",
    "<DETAILED_CAPTION>": "Describe in detail what is shown in the image.",
    "<MORE_DETAILED_CAPTION>": "Describe with a paragraph what is shown in the image.",
    "<OD>": "Locate the objects with category name in the image.",
    "<DENSE_REGION_CAPTION>": "Locate the objects in the image, with their descriptions.",
    "<REGION_PROPOSAL>": "Locate the region proposals in the image.",
}
#: Tasks before a text, or before a region written as four places.
_ABOUT = {
    "<CAPTION_TO_PHRASE_GROUNDING>": "Locate the phrases in the caption: {}",
    "<REFERRING_EXPRESSION_SEGMENTATION>": "Locate {} in the image with mask",
    "<REGION_TO_SEGMENTATION>": "What is the polygon mask of region {}",
    "<OPEN_VOCABULARY_DETECTION>": "Locate {} in the image.",
    "<REGION_TO_CATEGORY>": "What is the region {}?",
    "<REGION_TO_DESCRIPTION>": "What does the region {} describe?",
    "<REGION_TO_OCR>": "What text is in the region {}?",
}
_STEPS = 1000
_MARKS = re.compile(r"</?s>|<pad>")
_PLACE = r"<loc_(\d+)>"
_LABELLED = re.compile(rf"([^<]*)((?:{_PLACE}){{4,}})")
_QUADS = re.compile(rf"([^<]+)((?:{_PLACE}){{8}})")
_LOOSE = re.compile(_PLACE)


def worded(prompt: str) -> str:
    """A prompt that begins with a task as the words that the model was trained on; another one as it is.

    Raises:
        ParameterInvalid: a text stands beside a task that takes none, or a task that needs one stands alone.
    """
    task, closed, about = prompt.partition(">")
    task, about = task + closed, about.strip()
    if task in _ALONE:
        if about:
            raise ParameterInvalid(f"{task} stands alone in a prompt, found {about!r} behind it")
        return _ALONE[task]
    if task in _ABOUT:
        if not about:
            raise ParameterInvalid(f"{task} needs a text or a region behind it, {task}a red car")
        return _ABOUT[task].format(about)
    return prompt


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """What an answer places in the picture, in its order.

    Attributes:
        labels: one a box; empty texts where the answer names none.
        xyxy: `(n, 4)` float32, pixels of the original upright image.
    """

    labels: tuple[str, ...]
    xyxy: Boxes


def region(xyxy: tuple[float, float, float, float], image_hw: tuple[int, int]) -> str:
    """A box in pixels as the four places that a task about a region takes."""
    height, width = image_hw
    sizes = (width, height, width, height)
    steps = [min(max(int(value * _STEPS / size), 0), _STEPS - 1) for value, size in zip(xyxy, sizes, strict=True)]
    return "".join(f"<loc_{step}>" for step in steps)


def plain(answer: str) -> str:
    """An answer without the marks at its ends."""
    return _MARKS.sub("", answer).strip()


def places(answer: str, image_hw: tuple[int, int]) -> Places:
    """Read boxes: each label is followed by one or more boxes of four places; places that are left over are dropped."""
    labels: list[str] = []
    steps: list[list[int]] = []
    for label, run, _ in _LABELLED.findall(plain(answer)):
        found = [int(step) for step in _LOOSE.findall(run)]
        boxes = [found[start : start + 4] for start in range(0, len(found) - 3, 4)]
        labels += [label.strip()] * len(boxes)
        steps += boxes
    corners = _pixels(np.asarray(steps, dtype=np.float32).reshape(-1, 2, 2), image_hw)
    ordered = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Places(tuple(labels), ordered)


def lines(answer: str, image_hw: tuple[int, int]) -> Places:
    """Read text with its places: each text is followed by the four corners around it, of which the box is given."""
    found = _QUADS.findall(plain(answer))
    steps = [[int(step) for step in _LOOSE.findall(run)] for _, run, _ in found]
    corners = _pixels(np.asarray(steps, dtype=np.float32).reshape(-1, 4, 2), image_hw)
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    return Places(tuple(text.strip() for text, *_ in found), boxes)


def polygons(answer: str, image_hw: tuple[int, int]) -> list[npt.NDArray[np.float32]]:
    """Read outlines, `(points, 2)` in pixels each; `<sep>` and `</poly>` stand between them."""
    parts = re.split(r"<sep>|</?poly>", plain(answer))
    steps = [[int(step) for step in _LOOSE.findall(part)] for part in parts]
    whole = [found[: len(found) // 2 * 2] for found in steps if len(found) >= 6]
    return [_pixels(np.asarray(found, dtype=np.float32).reshape(-1, 2), image_hw) for found in whole]


def _pixels(steps: npt.NDArray[np.float32], image_hw: tuple[int, int]) -> npt.NDArray[np.float32]:
    size = np.asarray(image_hw[::-1], dtype=np.float32)
    found: npt.NDArray[np.float32] = np.minimum((steps + np.float32(0.5)) * size / np.float32(_STEPS), size)
    return found.astype(np.float32, copy=False)
