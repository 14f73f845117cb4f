"""Action recognition: what happens in a video, and from which frame to which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.recommended import Recommended
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction
from inference_engine.tasks.parts.parameters import ByClass

TASK = "action-recognition"


@dataclass(frozen=True, slots=True)
class ActionRecognitionParams:
    """What a call or a job may ask of a model that watches.

    Attributes:
        confidence: lowest score that is kept, 0 to 1.
        classes: names that are kept; None keeps all.
        per_class_confidence: thresholds of single classes; passed as a mapping of names to numbers.
    """

    confidence: float
    classes: tuple[str, ...] | None = None
    per_class_confidence: ByClass = ()


def action_recognition_params(
    given: Mapping[str, Any],
    class_names: Sequence[str],
    recommended: Recommended = Recommended(),  # noqa: B008 (frozen)
    *,
    confidence: float = 0.5,
) -> ActionRecognitionParams:
    """Check what was given, and fill up.

    Raises:
        ParameterInvalid: a name is unknown, or a value out of range.
    """
    parameters.check_names(given, ActionRecognitionParams, "action recognition")
    return ActionRecognitionParams(**parameters.score_params(given, confidence, class_names, recommended))


@dataclass(frozen=True, slots=True, eq=False)
class ActionSpans:
    """Actions of one video.

    Attributes:
        start_frame: `(n,)` int64, first frame of each span, ascending.
        end_frame: `(n,)` int64, the frame after its last.
        confidence: `(n,)` float32 in [0, 1].
        class_id: `(n,)` int64, index into the class names.
        fps: frames a second that the frame numbers count.
        image_hw: height and width of the frames in pixels.
        class_names: of the whole model.
        times_s: `(n, 2)` float64, seconds at which each span begins and ends, where frames are not evenly spaced; None:
            as `fps` says.
    """

    start_frame: npt.NDArray[np.int64]
    end_frame: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    fps: float
    image_hw: tuple[int, int]
    class_names: tuple[str, ...]
    times_s: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        n = len(self.start_frame)
        records.check_shapes(
            {name: (getattr(self, name), (n,)) for name in ("start_frame", "end_frame", "confidence", "class_id")}
            | {"times_s": (self.times_s, (n, 2))}
        )
        if (self.start_frame < 0).any() or (self.end_frame <= self.start_frame).any():
            raise ValueError("a span must begin at frame 0 or later and have at least one frame")
        if not 0 < self.fps < np.inf:
            raise ValueError(f"fps must be a number above 0, found {self.fps}")

    def __len__(self) -> int:
        return len(self.start_frame)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    @property
    def names(self) -> list[str]:
        """The class name of each span."""
        return records.names_of(self.class_id, self.class_names)

    @property
    def seconds(self) -> npt.NDArray[np.float64]:
        """`(n, 2)`: where each span begins and ends."""
        if self.times_s is not None:
            return self.times_s
        return np.stack([self.start_frame, self.end_frame], axis=1) / self.fps

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe; `from_record` gives the same bits back."""
        return {
            **records.scored(TASK, self),
            "start_frame": self.start_frame.tolist(),
            "end_frame": self.end_frame.tolist(),
            "fps": self.fps,
            **({} if self.times_s is None else {"times_s": self.times_s.tolist()}),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str]) -> ActionSpans:
        """The prediction that `to_record` wrote."""
        return cls(
            records.ids(record["start_frame"]),
            records.ids(record["end_frame"]),
            *records.scores(record),
            record["fps"],
            records.image_hw(record),
            tuple(class_names),
            np.asarray(record["times_s"], np.float64).reshape(-1, 2) if "times_s" in record else None,
        )


PREDICTION = ActionSpans
