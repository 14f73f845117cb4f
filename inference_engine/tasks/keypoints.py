"""Keypoint detection: boxes with a class, a confidence, and named points each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.images import Boxes
from inference_engine.inference_config import NmsDefaults
from inference_engine.recommended import Recommended
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.parameters import ByClass
from inference_engine.tasks.parts.supervising import import_supervision

TASK = "keypoint-detection"


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What the points of one class are called, and which of them are joined by a line.

    Attributes:
        names: by the point's number; a class may have fewer points than others.
        edges: pairs of point numbers.
    """

    names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if odd := [edge for edge in self.edges if not 0 <= min(edge) <= max(edge) < len(self.names)]:
            raise ValueError(f"edge {odd[0]} joins points that are not there: {len(self.names)} have names")


@dataclass(frozen=True, slots=True)
class KeyPointsParams:
    """What a call or a job may ask of a detector of points; but for the last as of a detector of boxes.

    Attributes:
        key_points_threshold: points below it are reported all the same, and `is_sure` is false for them.
    """

    confidence: float
    iou_threshold: float
    max_detections: int
    class_agnostic: bool
    classes: tuple[str, ...] | None = None
    per_class_confidence: ByClass = ()
    key_points_threshold: float = 0.0


def key_points_params(
    given: Mapping[str, Any],
    defaults: NmsDefaults,
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
) -> KeyPointsParams:
    """Check what was given, and fill up from the package's defaults.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, KeyPointsParams, "a detector of key points")
    threshold = given.get("key_points_threshold")
    return KeyPointsParams(
        **parameters.suppression_params(given, defaults),
        **parameters.score_params(given, defaults.confidence, class_names, recommended),
        key_points_threshold=parameters.share(0.0 if threshold is None else threshold, "key_points_threshold"),
    )


@dataclass(frozen=True, slots=True, eq=False)
class KeyPoints:
    """Instances of one image with their points.

    Attributes:
        xy: `(n, k, 2)` float32, pixels of the original upright image.
        key_points_confidence: `(n, k)` float32 in [0, 1]; 0 for a point that the instance's class does not have.
        xyxy: `(n, 4)` float32, box of each instance, `x_min, y_min, x_max, y_max`.
        confidence: `(n,)` float32 in [0, 1], of the instances, descending.
        class_id: `(n,)` int64, index into the class names.
        image_hw: height and width of the original image in pixels.
        class_names: of the whole model.
        skeletons: names and lines of the points, one a class.
        key_points_threshold: confidence from which a point `is_sure`.
        track_id: `(n,)` int64, as of a detector's boxes.
    """

    xy: npt.NDArray[np.float32]
    key_points_confidence: npt.NDArray[np.float32]
    xyxy: Boxes
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    skeletons: tuple[Skeleton, ...]
    key_points_threshold: float = 0.0
    track_id: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        n, k = self.xy.shape[:2]
        records.check_shapes(
            {
                "xy": (self.xy, (n, k, 2)),
                "key_points_confidence": (self.key_points_confidence, (n, k)),
                "xyxy": (self.xyxy, (n, 4)),
                "confidence": (self.confidence, (n,)),
                "class_id": (self.class_id, (n,)),
                "track_id": (self.track_id, (n,)),
            }
        )
        if len(self.skeletons) != len(self.class_names):
            raise ValueError(f"{len(self.skeletons)} skeletons for {len(self.class_names)} classes")

    def __len__(self) -> int:
        return len(self.xy)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each instance."""
        return records.names_of(self.class_id, self.class_names)

    @property
    def is_sure(self) -> npt.NDArray[np.bool_]:
        """`(n, k)`: which points reach the threshold; a place without a point never does."""
        sure = self.key_points_confidence >= np.float32(self.key_points_threshold)
        return sure & (self.key_points_confidence > 0)

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back. Names and lines of the points stand in it once."""
        return {
            **records.scored(TASK, self),
            "xyxy": records.numbers(self.xyxy),
            "xy": records.numbers(self.xy),
            "key_points_confidence": records.numbers(self.key_points_confidence),
            "key_points": self.xy.shape[1],
            "key_points_threshold": self.key_points_threshold,
            "skeletons": [{"names": list(each.names), "edges": list(map(list, each.edges))} for each in self.skeletons],
            **records.tracked(self.track_id),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> KeyPoints:
        """The prediction that `to_record` wrote."""
        confidence, class_id = records.scores(record)
        n, k = len(confidence), record["key_points"]
        skeletons = (
            Skeleton(tuple(each["names"]), tuple((a, b) for a, b in each["edges"])) for each in record["skeletons"]
        )
        return cls(
            records.floats(record["xy"], n, k, 2),
            records.floats(record["key_points_confidence"], n, k),
            records.floats(record["xyxy"], n, 4),
            confidence,
            class_id,
            records.image_hw(record),
            tuple(class_names),
            tuple(skeletons),
            record["key_points_threshold"],
            records.track_ids(record),
        )

    def to_supervision(self) -> Any:
        """As `supervision.KeyPoints`; `visible` is `is_sure`.

        Raises:
            ImportError: `supervision` is not installed; `pip install "nightshift[viz]"`.
        """
        return import_supervision().KeyPoints(
            xy=self.xy,
            class_id=self.class_id.astype(int),
            keypoint_confidence=self.key_points_confidence,
            detection_confidence=self.confidence,
            visible=self.is_sure,
            data={"class_name": np.asarray(self.names, dtype=str)},
        )


PREDICTION = KeyPoints
