"""A model that writes: a `VisionModel` whose parameters go into the network, with `prompt` beside the call."""

from __future__ import annotations

from typing import Any

from inference_engine.model import VisionModel


class GenerativeModel(VisionModel):
    """Answers a text about each image; the steps are those of every model, so that workers run it as any other."""

    def prompt(self, images: Any, prompt: str, *, input_color_format: str | None = None, **params: Any) -> list[str]:
        """One answer an image, in a batch too.

        Args:
            images: as `VisionModel.__call__` takes them.
            prompt: goes with every image.
            params: as `tasks.prompting.PromptParams`.

        Raises:
            InputInvalid, ImageUnreadable, ParameterInvalid, SessionFailed, OutputInvalid.
        """
        answers = self(images, input_color_format=input_color_format, prompt=prompt, **params)
        return [answer.text for answer in answers]
