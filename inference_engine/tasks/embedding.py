"""Embeddings: an image or a text as a vector, near to those that mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_engine.errors import ParameterInvalid
from inference_engine.tasks.parts import parameters, records
from inference_engine.tasks.parts.drawing import Image, draw_prediction

TASK = "embedding"

#: Precisions in which a vector is kept.
_DTYPES = ("float32", "float16")
_Vectors = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class EmbeddingParams:
    """What a call or a job may ask of an embedder.

    Attributes:
        dtype: `float32`, or `float16`, which halves what is stored.
    """

    dtype: str = _DTYPES[0]


def embedding_params(given: Mapping[str, Any]) -> EmbeddingParams:
    """Check what was given.

    Raises:
        ParameterInvalid: a name is unknown, or the precision is none of the two.
    """
    parameters.check_names(given, EmbeddingParams, "an embedder")
    dtype = given.get("dtype") or _DTYPES[0]
    if dtype not in _DTYPES:
        raise ParameterInvalid(f"dtype must be one of {', '.join(_DTYPES)}, found {dtype!r}")
    return EmbeddingParams(dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """The vector of one image, not normalised.

    Attributes:
        vector: `(d,)` float32 or float16, finite.
        image_hw: height and width of the original image in pixels.
    """

    vector: _Vectors
    image_hw: tuple[int, int]

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or self.vector.dtype.name not in _DTYPES or not self.vector.size:
            found = f"{self.vector.shape} {self.vector.dtype}"
            raise ValueError(f"expected a vector (d,) float32 or float16, found {found}")
        if not np.isfinite(self.vector).all():
            raise ValueError("an embedding has numbers that are not finite")

    def __len__(self) -> int:
        return len(self.vector)

    def __eq__(self, other: object) -> bool:
        return records.same(self, other)

    __hash__ = None  # type: ignore[assignment]

    def draw(self, image: Image) -> Image:
        """A new picture with this on it; `image` is the picture, `(H, W, 3)` uint8 RGB, or a smaller copy."""
        return draw_prediction(image, self)

    def to_record(self) -> dict[str, Any]:
        """JSON-safe: how the blob is to be read."""
        return {
            "task": TASK,
            "image_hw": list(self.image_hw),
            "dtype": self.vector.dtype.name,
            "dimensions": len(self.vector),
        }

    def to_blob(self) -> bytes:
        """The numbers one after the other, little-endian: `numpy.frombuffer(blob, dtype)`."""
        return self.vector.astype(self.vector.dtype.newbyteorder("<"), copy=False).tobytes()

    @classmethod
    def from_record(cls, record: Mapping[str, Any], class_names: Sequence[str], blob: bytes) -> Embedding:  # noqa: ARG003 (as every task's)
        """The prediction that `to_record` and `to_blob` wrote, the same bits."""
        dtype = np.dtype(record["dtype"])
        found = np.frombuffer(blob, dtype=dtype.newbyteorder("<"))
        if len(found) != record["dimensions"]:
            raise ValueError(f"the blob of this record has {len(found)} numbers, expected {record['dimensions']}")
        return cls(found.astype(dtype), records.image_hw(record))


def compare_embeddings(x: _Vectors, y: _Vectors) -> npt.NDArray[np.float32]:
    """Cosine similarity of every row of `x` with every row of `y`, -1 to 1.

    Args:
        x: `(n, d)`, or `(d,)` for one.
        y: `(m, d)`, or `(d,)` for one.

    Returns:
        `(n, m)` float32; 0 where a vector is all zeros, which has no direction.

    Raises:
        ParameterInvalid: the vectors are not of one length.
    """
    x, y = np.atleast_2d(np.asarray(x)), np.atleast_2d(np.asarray(y))
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise ParameterInvalid(f"expected vectors (n, d) and (m, d) of one length, found {x.shape} and {y.shape}")
    similarity: npt.NDArray[np.float32] = np.clip(_normalised(x) @ _normalised(y).T, -1, 1).astype(np.float32)
    return similarity


def _normalised(vectors: _Vectors) -> npt.NDArray[np.float64]:
    """In double precision, so that neither a large nor a small vector's square leaves the range of its type."""
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: npt.NDArray[np.float64] = np.divide(wide, length, out=np.zeros_like(wide), where=length > 0)
    return unit


PREDICTION = Embedding
