"""The objects of one record as arrays, made when they are asked for: a job of a million rows pays for those read."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from producer.errors import MissingExtra, RecordUnsuitable
from producer.exports.records import dense_mask, instances

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from producer.exports.records import Instance


class Detections:
    """The objects of one picture, in the record's order; arrays are `(n, ...)`, coordinates pixels of the original.

    Raises:
        RecordUnsuitable: the record has no objects with places, such as an embedding.
    """

    def __init__(self, record: Mapping[str, Any], kept: Sequence[int] | None = None) -> None:
        if "xyxy" not in record and "masks" not in record:
            raise RecordUnsuitable(
                f"a record of task {record.get('task', '?')!r} has no objects with places: read `record` instead, "
                f"which has {', '.join(sorted(record))}"
            )
        self._record, self._kept = record, kept

    def __len__(self) -> int:
        return len(self._objects)

    def __repr__(self) -> str:
        return f"Detections({len(self)}: {', '.join(sorted(set(self.class_name)))})"

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the picture."""
        height, width = self._record["image_hw"]
        return height, width

    @cached_property
    def xyxy(self) -> npt.NDArray[np.float32]:
        """`(n, 4)`: x_min, y_min, x_max, y_max; of a mask without a box, the box around its pixels."""
        return np.array([each.xyxy for each in self._objects], np.float32).reshape(-1, 4)

    @cached_property
    def confidence(self) -> npt.NDArray[np.float32]:
        """`(n,)`: 0 to 1; NaN where the task gives none."""
        scores = [np.nan if each.confidence is None else each.confidence for each in self._objects]
        return np.array(scores, np.float32)

    @cached_property
    def class_id(self) -> npt.NDArray[np.int64]:
        """`(n,)`."""
        return np.array([each.class_id for each in self._objects], np.int64)

    @cached_property
    def class_name(self) -> tuple[str, ...]:
        """Names, one an object."""
        return tuple(each.class_name for each in self._objects)

    @cached_property
    def track_id(self) -> npt.NDArray[np.int64] | None:
        """`(n,)`: the same in every frame that shows the object, -1 for none; None where nothing was tracked."""
        if all(each.track_id is None for each in self._objects):
            return None
        return np.array([-1 if each.track_id is None else each.track_id for each in self._objects], np.int64)

    @cached_property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """`(n, height, width)`; None where the task gives none.

        Raises:
            ValueError: a mask does not fill its image.
        """
        if "masks" not in self._record:
            return None
        dense = [dense_mask(each.mask) for each in self._objects if each.mask is not None]
        return np.stack(dense) if dense else np.zeros((0, *self.image_hw), bool)

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with class names in its data.

        Raises:
            MissingExtra: supervision is not installed.
        """
        return import_supervision().Detections(
            xyxy=self.xyxy,
            mask=self.mask,
            confidence=None if np.isnan(self.confidence).any() else self.confidence,
            class_id=self.class_id,
            tracker_id=self.track_id,
            data={"class_name": np.array(self.class_name, dtype=str)},
        )

    @cached_property
    def _objects(self) -> tuple[Instance, ...]:
        found = tuple(instances(self._record))
        return found if self._kept is None else tuple(found[index] for index in self._kept)


def import_supervision() -> Any:
    """Give the package.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise MissingExtra('supervision is not installed: pip install "nightshift[viz]"') from error
    return supervision
