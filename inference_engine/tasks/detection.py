"""Object detection: boxes with a class and a confidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import ParameterInvalid
from inference_engine.images import Boxes
from inference_engine.inference_config import NmsDefaults

TASK = "object-detection"


@dataclass(frozen=True, slots=True)
class DetectionParams:
    """What a call or a job may ask of a detector.

    Attributes:
        confidence: lowest score that is kept, 0 to 1; `0` and `0.0` mean the same.
        iou_threshold: overlap above which the weaker of two boxes goes, 0 to 1.
        max_detections: boxes an image at most.
        class_agnostic: boxes of different classes suppress each other too.
        classes: names that are kept; None keeps all.
    """

    confidence: float
    iou_threshold: float
    max_detections: int
    class_agnostic: bool
    classes: tuple[str, ...] | None = None


def detection_params(given: Mapping[str, Any], defaults: NmsDefaults, class_names: Sequence[str]) -> DetectionParams:
    """Check what was given, and fill up from the package's defaults.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    known = [field.name for field in fields(DetectionParams)]
    if unknown := sorted(set(given) - set(known)):
        raise ParameterInvalid(f"unknown parameter {unknown[0]!r}; a detector takes {', '.join(known)}")
    merged: dict[str, Any] = {name: getattr(defaults, name) for name in known if name != "classes"}
    merged.update({name: value for name, value in given.items() if value is not None})
    return DetectionParams(
        confidence=_share(merged["confidence"], "confidence"),
        iou_threshold=_share(merged["iou_threshold"], "iou_threshold"),
        max_detections=_count(merged["max_detections"]),
        class_agnostic=_flag(merged["class_agnostic"]),
        classes=_classes(merged.get("classes"), class_names),
    )


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ParameterInvalid(f"{name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParameterInvalid(f"max_detections must be a positive whole number, found {value!r}")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ParameterInvalid(f"class_agnostic must be true or false, found {value!r}")
    return value


def _classes(value: Any, class_names: Sequence[str]) -> tuple[str, ...] | None:
    if value is None:
        return None
    wanted = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not wanted:
        raise ParameterInvalid(f"classes must be names, or left out to keep all, found {value!r}")
    if unknown := [name for name in wanted if name not in class_names]:
        shown = ", ".join(class_names[:12]) + (" ..." if len(class_names) > 12 else "")
        raise ParameterInvalid(f"the model has no class {unknown[0]!r}; it has {len(class_names)}: {shown}")
    return wanted


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """Boxes of one image.

    Attributes:
        xyxy: `(n, 4)` float32, pixels of the original upright image, `x_min, y_min, x_max, y_max`.
        confidence: `(n,)` float32 in [0, 1], descending.
        class_id: `(n,)` int64, index into the model's class names.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
    """

    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        n = len(self.xyxy)
        found = self.xyxy.shape, self.confidence.shape, self.class_id.shape
        if found != ((n, 4), (n,), (n,)):
            raise ValueError(f"expected shapes (n, 4), (n,), (n,), found {found}")

    def __len__(self) -> int:
        return len(self.xyxy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Detections)
            and self.image_hw == other.image_hw
            and self.class_names == other.class_names
            and all(
                np.array_equal(getattr(self, name), getattr(other, name)) for name in ("xyxy", "confidence", "class_id")
            )
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each box."""
        return [self.class_names[index] for index in self.class_id]

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back."""
        return {
            "task": TASK,
            "image_hw": list(self.image_hw),
            "xyxy": [[_shortest(v) for v in row] for row in self.xyxy.tolist()],
            "confidence": [_shortest(v) for v in self.confidence.tolist()],
            "class_id": self.class_id.tolist(),
            "class_name": self.names,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> Detections:
        """The prediction that `to_record` wrote."""
        height, width = record["image_hw"]
        return cls(
            np.asarray(record["xyxy"], dtype=np.float32).reshape(-1, 4),
            np.asarray(record["confidence"], dtype=np.float32),
            np.asarray(record["class_id"], dtype=np.int64),
            (height, width),
            tuple(class_names),
        )

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with class names in its data.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        try:
            import supervision
        except ImportError as error:
            raise ImportError('supervision is not installed: pip install "nightshift[viz]"') from error
        return supervision.Detections(
            xyxy=self.xyxy,
            confidence=self.confidence,
            class_id=self.class_id.astype(int),
            data={"class_name": np.asarray(self.names, dtype=str)},
        )


def _shortest(value: float) -> float:
    """Nine digits bring a float32 back exactly (IEEE 754); the seven more of its float64 say nothing."""
    return float(f"{value:.9g}")
