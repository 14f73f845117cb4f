"""What shows objects, as tensors: objects that are shown alike go through a network together, and nothing is padded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Fit
from inference_engine.tasks.promptable_segmentation import MaskPrompt

#: Names of tensors, by group of objects that are shown alike.
POINTS, LABELS, BOXES, MASKS, SCORES = "points", "labels", "boxes", "masks", "scores"


def groups(prompts: Sequence[MaskPrompt]) -> list[list[int]]:
    """Indices of prompts by how they show their object: the number of points, and a box or none."""
    found: dict[tuple[int, bool], list[int]] = {}
    for index, prompt in enumerate(prompts):
        found.setdefault((len(prompt.points), prompt.box is not None), []).append(index)
    return list(found.values())


def prompt_tensors(prompts: Sequence[MaskPrompt], fit: Fit) -> dict[str, npt.NDArray[Any]]:
    """Points `(1, objects, points, 2)`, their labels, and boxes `(1, objects, 4)`, in pixels of the canvas."""
    scale = np.asarray(fit.scale_xy, dtype=np.float32)
    found: dict[str, npt.NDArray[Any]] = {}
    for number, indices in enumerate(groups(prompts)):
        chosen = [prompts[index] for index in indices]
        if chosen[0].points:
            found[f"{POINTS}_{number}"] = np.asarray([[p.points for p in chosen]], dtype=np.float32) * scale
            found[f"{LABELS}_{number}"] = np.asarray([[p.labels for p in chosen]], dtype=np.int64)
        if chosen[0].box is not None:
            corners = np.asarray([[p.box for p in chosen]], dtype=np.float32)
            found[f"{BOXES}_{number}"] = corners * np.tile(scale, 2)
    return found
