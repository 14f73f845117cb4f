"""The form of records: plain JSON, from which every array comes back bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from inference_engine.masks import InstancesRLEMasks

Shape = tuple[int, ...]


def check_rows(prediction: object, rows: int, **shapes: Shape) -> None:
    """Refuse a prediction whose arrays do not fit together.

    Args:
        rows: results that the prediction has, which every array begins with.
        shapes: by the field's name, the shape of one row: `xyxy=(4,), confidence=()`. A field may hold None.

    Raises:
        ValueError: with all shapes.
    """
    arrays = {name: getattr(prediction, name) for name in shapes}
    found = {name: array.shape for name, array in arrays.items() if array is not None}
    expected = {name: (rows, *shapes[name]) for name in found}
    if found != expected:
        said = (", ".join(f"{name} {shape}" for name, shape in each.items()) for each in (expected, found))
        raise ValueError("expected shapes {}, found {}".format(*said))


def check_masks(masks: InstancesRLEMasks, rows: int, image_hw: tuple[int, int]) -> None:
    """Refuse masks that are not one a result, or not of the picture's size.

    Raises:
        ValueError: with both.
    """
    if (len(masks), masks.image_hw) != (rows, image_hw):
        raise ValueError(f"expected {rows} masks of {image_hw}, found {len(masks)} of {masks.image_hw}")


#: float32 from 2^(e-1) up to 2^e lie 2^(e-24) apart (IEEE 754 binary32). By e + 40, the power of ten by which decimals
#: lie no further apart, so that the nearest one comes back; one decimal less is enough for most.
_FINEST, _COARSEST = -40, 24
_POWERS = 10.0 ** np.ceil((24 - np.arange(_FINEST, _COARSEST + 1)) * np.log10(2.0))


def numbers(array: npt.NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimals that bring float32 back exactly: 0.9, not 0.8999999761581421."""
    wide = array.astype(np.float64)
    exponents = np.frexp(wide)[1]
    if array.size and not _FINEST <= exponents.min() <= exponents.max() <= _COARSEST:
        return _numbers_of_any_size(array)
    power = _POWERS[exponents - _FINEST]
    fine, coarse = (np.rint(wide * by) / by for by in (power, power / 10))
    found = np.where(coarse.astype(np.float32) == array, coarse, fine)
    return np.where(found.astype(np.float32) == array, found, wide).tolist()


def _numbers_of_any_size(array: npt.NDArray[np.float32]) -> Any:
    """The same by numpy's shortest text of a float32, read as the float64 that JSON writes; three times as slow.

    Rounding twice could miss the float32 next to it, so what does not come back is written in full.
    """
    short = array.astype(np.str_).astype(np.float64)
    return np.where(short.astype(np.float32) == array, short, array.astype(np.float64)).tolist()


def floats(value: Any, *shape: int) -> npt.NDArray[np.float32]:
    """The float32 array that `numbers` wrote; the shape holds for an empty one too (-1: any size)."""
    return np.asarray(value, dtype=np.float32).reshape(shape)


def ids(value: Any) -> npt.NDArray[np.int64]:
    """`(n,)` int64."""
    return np.asarray(value, dtype=np.int64).reshape(-1)


def image_hw(record: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of the original image in pixels."""
    height, width = record["image_hw"]
    return int(height), int(width)


class Scored(Protocol):
    """A prediction of several results, each with a class and a score."""

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the original image in pixels."""
        ...

    @property
    def confidence(self) -> npt.NDArray[np.float32]:
        """`(n,)`."""
        ...

    @property
    def class_id(self) -> npt.NDArray[np.int64]:
        """`(n,)`."""
        ...

    @property
    def names(self) -> list[str]:
        """The class name of each result."""
        ...


def scored(task: str, prediction: Scored) -> dict[str, Any]:
    """The part of a record that such predictions have in common."""
    return {
        "task": task,
        "image_hw": list(prediction.image_hw),
        "confidence": numbers(prediction.confidence),
        "class_id": prediction.class_id.tolist(),
        "class_name": prediction.names,
    }


def scores(record: Mapping[str, Any]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """`confidence` and `class_id` that `scored` wrote."""
    return floats(record["confidence"], -1), ids(record["class_id"])


def tracked(track_id: npt.NDArray[np.int64] | None) -> dict[str, Any]:
    """The part of a record that says which boxes of a video's frames show the same object."""
    return {} if track_id is None else {"track_id": [each if each >= 0 else None for each in track_id.tolist()]}


def track_ids(record: Mapping[str, Any]) -> npt.NDArray[np.int64] | None:
    """`(n,)`, -1 where a box is of no track, that `tracked` wrote; None where nothing was tracked."""
    found = record.get("track_id")
    return None if found is None else ids([-1 if each is None else each for each in found])


def names_of(class_id: npt.NDArray[np.int64], class_names: Sequence[str]) -> list[str]:
    """The class name of each result."""
    return [class_names[index] for index in class_id]


def same(one: DataclassInstance, other: object) -> bool:
    """Whether two predictions are equal, arrays element by element; what their `__eq__` is."""
    if type(one) is not type(other):
        return False
    return all(_same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and one.dtype == other.dtype and np.array_equal(one, other)
    return bool(one == other)
