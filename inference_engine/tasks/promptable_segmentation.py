"""Promptable segmentation: the masks of what points and boxes show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.config_fields import is_number
from inference_engine.errors import ParameterInvalid
from inference_engine.masks import InstancesRLEMasks
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.supervising import import_supervision

TASK = "interactive-instance-segmentation"

Point = tuple[float, float]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class MaskPrompt:
    """What shows one object, in pixels of the original upright image.

    Attributes:
        points: x and y.
        labels: one a point: 1 lies on the object, 0 beside it.
        box: around the object, `x_min, y_min, x_max, y_max`.
    """

    points: tuple[Point, ...] = ()
    labels: tuple[int, ...] = ()
    box: Box | None = None


@dataclass(frozen=True, slots=True)
class PromptedMasksParams:
    """What a call or a job asks of a model that cuts out what it is shown.

    Attributes:
        prompts: one an object; passed as a list of objects with `points`, `labels` and `box`.
        multi_mask_output: several masks an object (whole, part, smaller part), the surest first; else the surest alone.
    """

    prompts: tuple[MaskPrompt, ...]
    multi_mask_output: bool = False


def prompted_masks_params(given: Mapping[str, Any]) -> PromptedMasksParams:
    """Check what was given.

    Raises:
        ParameterInvalid: nothing is shown, a name is unknown, or a value is not a point or a box.
    """
    parameters.check_names(given, PromptedMasksParams, "promptable segmentation")
    prompts, many = given.get("prompts"), given.get("multi_mask_output")
    if not isinstance(prompts, list | tuple) or not prompts:
        raise ParameterInvalid(f"prompts must be a list with one entry an object to cut out, found {prompts!r}")
    return PromptedMasksParams(
        tuple(map(_prompt, prompts)), parameters.flag(False if many is None else many, "multi_mask_output")
    )


def _prompt(given: Any) -> MaskPrompt:
    if not isinstance(given, Mapping):
        raise ParameterInvalid(f"a prompt must be an object with points, labels and box, found {given!r}")
    parameters.check_names(given, MaskPrompt, "a prompt")
    points = tuple(_point(point) for point in given.get("points") or ())
    labels = tuple(given.get("labels") or (1,) * len(points))
    if len(labels) != len(points) or any(type(label) is not int or label not in (0, 1) for label in labels):
        raise ParameterInvalid(f"labels must be 1 or 0, one for each of {len(points)} points, found {list(labels)}")
    box = given.get("box")
    if not points and box is None:
        raise ParameterInvalid(f"a prompt must show the object by points or a box, found {dict(given)}")
    return MaskPrompt(points, labels, None if box is None else _box(box))


def _point(value: Any) -> Point:
    if not _are_numbers(value, 2):
        raise ParameterInvalid(f"a point must be x and y in pixels, found {value!r}")
    return float(value[0]), float(value[1])


def _box(value: Any) -> Box:
    if not _are_numbers(value, 4) or value[0] >= value[2] or value[1] >= value[3]:
        raise ParameterInvalid(f"box must be x_min, y_min, x_max, y_max in pixels, found {value!r}")
    return float(value[0]), float(value[1]), float(value[2]), float(value[3])


def _are_numbers(value: Any, count: int) -> bool:
    return isinstance(value, list | tuple) and len(value) == count and all(is_number(v) and isfinite(v) for v in value)


@dataclass(frozen=True, slots=True, eq=False)
class PromptedMasks:
    """Masks of what one image was prompted with.

    Attributes:
        masks: n masks of the original image's size, run-length encoded.
        confidence: `(n,)` float32 in [0, 1], the model's own estimate of each mask's overlap with the object.
        prompt_id: `(n,)` int64, index of the prompt that a mask answers; ascending, its surest mask first.
        image_hw: height and width of the original image in pixels.
    """

    masks: InstancesRLEMasks
    confidence: npt.NDArray[np.float32]
    prompt_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]

    def __post_init__(self) -> None:
        records.check_rows(self, len(self), confidence=(), prompt_id=())
        if self.masks.image_hw != self.image_hw:
            raise ValueError(f"expected masks of {self.image_hw}, found {self.masks.image_hw}")

    def __len__(self) -> int:
        return len(self.masks)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, masks as COCO's RLE; `from_record` gives the same bits back."""
        return {
            "task": TASK,
            "image_hw": list(self.image_hw),
            "confidence": records.numbers(self.confidence),
            "prompt_id": self.prompt_id.tolist(),
            "masks": self.masks.to_coco(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> PromptedMasks:  # noqa: ARG003 (as every task's)
        """The prediction that `to_record` wrote."""
        hw = records.image_hw(record)
        return cls(
            InstancesRLEMasks.from_coco(record["masks"], hw),
            records.floats(record["confidence"], -1),
            records.ids(record["prompt_id"]),
            hw,
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections` with dense masks and the boxes around them; the class id is the prompt's.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return import_supervision().Detections(
            xyxy=self.masks.xyxy(),
            mask=self.masks.to_dense(),
            confidence=self.confidence,
            class_id=self.prompt_id.astype(int),
        )


PREDICTION = PromptedMasks
