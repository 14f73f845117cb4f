"""Prompting: a vision-language model's answer to a text about an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inference_engine.errors import ParameterInvalid
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction

TASK = "vlm"

#: Enough for a caption, an answer or a page's worth of boxes; bounds what one image may cost.
_MAX_NEW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class PromptParams:
    """What a call or a job asks of a vision-language model.

    Attributes:
        prompt: the text that goes with every image.
        max_new_tokens: of an answer at most.
        do_sample: draw tokens by their probability; otherwise the likeliest is taken.
        seed: of the draw, the same for every image; a draw repeats exactly with it.
        skip_special_tokens: leave the model's own marks out of the answer.
    """

    prompt: str
    max_new_tokens: int = _MAX_NEW_TOKENS
    do_sample: bool = False
    skip_special_tokens: bool = True
    seed: int = 0


def prompt_params(given: Mapping[str, Any]) -> PromptParams:
    """Check what was given.

    Raises:
        ParameterInvalid: there is no prompt, a name is unknown, or a value out of range.
    """
    parameters.check_names(given, PromptParams, "a vision-language model")
    known = {name: value for name, value in given.items() if value is not None}
    prompt = known.get("prompt")
    if not isinstance(prompt, str) or not prompt.strip():
        raise ParameterInvalid(f"prompt must be a text that asks for something, found {prompt!r}")
    return PromptParams(
        prompt,
        parameters.count(known.get("max_new_tokens", _MAX_NEW_TOKENS), "max_new_tokens"),
        parameters.flag(known.get("do_sample", False), "do_sample"),
        parameters.flag(known.get("skip_special_tokens", True), "skip_special_tokens"),
        _seed(known),
    )


def _seed(known: Mapping[str, Any]) -> int:
    seed = known.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise ParameterInvalid(f"seed must be a whole number from 0 to 2**63 - 1, found {seed!r}")
    if "seed" in known and known.get("do_sample") is not True:
        raise ParameterInvalid(
            "a seed changes nothing while the likeliest token is taken: pass do_sample=True, or no seed"
        )
    return seed


@dataclass(frozen=True, slots=True)
class PromptAnswer:
    """The answer for one image.

    Attributes:
        text: what the model wrote.
        prompt: what it was asked.
        image_hw: height and width of the original image in pixels.
        is_complete: the model ended by itself; false where `max_new_tokens` cut it off.
    """

    text: str
    prompt: str
    image_hw: tuple[int, int]
    is_complete: bool = True

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same back."""
        return {
            "task": TASK,
            "image_hw": list(self.image_hw),
            "prompt": self.prompt,
            "text": self.text,
            "is_complete": self.is_complete,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> PromptAnswer:  # noqa: ARG003 (as every task's)
        """The prediction that `to_record` wrote."""
        return cls(record["text"], record["prompt"], records.image_hw(record), record["is_complete"])


PREDICTION = PromptAnswer
