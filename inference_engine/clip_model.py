"""A model of clips: a `VisionModel` that takes so many frames in a row as one item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from inference_engine.errors import InputInvalid
from inference_engine.hf_inputs import clip_frames, prepared
from inference_engine.images import Fit
from inference_engine.inputs import as_rgb_images
from inference_engine.model import VisionModel
from inference_engine.sessions import Tensors
from inference_engine.tasks.classification import ClassificationPrediction


class ClipModel(VisionModel):
    """Says of which class a clip is; a call takes single pictures, each as a clip that stands still."""

    @property
    def clip_frames(self) -> int:
        """Frames that a clip has."""
        return clip_frames(self.package)

    def classify_clips(
        self, clips: Sequence[Any], *, input_color_format: str | None = None, **params: Any
    ) -> list[ClassificationPrediction]:
        """Classes of each clip, the best first, in order.

        Args:
            clips: each `clip_frames` images in order, as `VisionModel.__call__` takes them, all of one size.
            params: as `tasks.classification.ClassificationParams`.

        Raises:
            InputInvalid: a clip has fewer or more frames, or frames of several sizes.
            ImageUnreadable, ParameterInvalid, SessionFailed, OutputInvalid.
        """
        checked = self.check_params(params)
        return self.answers([self._prepared(clip, input_color_format) for clip in clips], checked)

    def _prepared(self, clip: Any, input_color_format: str | None) -> tuple[Tensors, Fit]:
        frames = as_rgb_images(clip, input_color_format)
        sizes = {frame.shape[:2] for frame in frames}
        if len(frames) != self.clip_frames or len(sizes) != 1:
            raise InputInvalid(
                f"a clip of {len(frames)} frames of {len(sizes)} sizes; this model takes {self.clip_frames} of one size"
            )
        made = [prepared(frame, self.package) for frame in frames]
        pixels = np.stack([next(iter(tensors.values()))[0] for tensors, _ in made])[None]
        return {self.session.inputs[0].name: pixels}, made[0][1]
