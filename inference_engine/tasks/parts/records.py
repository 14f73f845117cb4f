"""The form of records: plain JSON, from which every array comes back bit by bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Shape = tuple[int, ...]


def check_shapes(given: Mapping[str, tuple[npt.NDArray[Any] | None, Shape]]) -> None:
    """Refuse arrays that do not fit together.

    Args:
        given: by the array's name: the array, or None where there is none, and the shape that it must have.

    Raises:
        ValueError: with all shapes.
    """
    expected = {name: (array, shape) for name, (array, shape) in given.items() if array is not None}
    if any(array.shape != shape for array, shape in expected.values()):
        wanted = ", ".join(f"{name} {shape}" for name, (_, shape) in expected.items())
        found = ", ".join(f"{name} {array.shape}" for name, (array, _) in expected.items())
        raise ValueError(f"expected shapes {wanted}, found {found}")


def numbers(array: npt.NDArray[np.float32]) -> Any:
    """Nested lists of the shortest decimals that bring float32 back exactly: 0.9, not 0.8999999761581421.

    numpy's shortest text of a float32 is read as the float64 that JSON writes. Rounding twice could miss the float32
    next to it, so what does not come back is written in full.
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
