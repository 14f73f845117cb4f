"""Vectors: `embeddings/embeddings.npy`, a row a picture, and `embeddings/index.jsonl`, which picture it is."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np

from producer.errors import ExportFailed
from producer.exports.atomic import atomic_folder
from producer.exports.records import Kind
from producer.exports.summary import ExportSummary, contents

if TYPE_CHECKING:
    from pathlib import Path

    from producer.exports.dataset import Dataset, Picture

TAKES = {Kind.EMBEDDING}
_MAIN = "embeddings.npy"
#: numpy's header with room for any number of rows: its own padding ends at a multiple of 64 bytes.
_HEADER_BYTES = 128


def export(dataset: Dataset, dest: Path) -> ExportSummary:
    """Write `dest/embeddings`: `numpy.load(path, mmap_mode="r")` gives `(n, d)` of the model's own type.

    Raises:
        ExportFailed: vectors of several lengths or types, which no array holds.
    """
    path = dest / "embeddings"
    encode = msgspec.json.Encoder().encode
    with atomic_folder(path, _MAIN) as folder:
        with (folder / _MAIN).open("wb") as vectors, (folder / "index.jsonl").open("wb") as index:
            vectors.write(bytes(_HEADER_BYTES))
            shape: tuple[str, int] | None = None
            items = 0
            for picture in dataset.pictures():
                shape = _checked(picture, shape)
                vectors.write(picture.row.blob or b"")
                row = picture.row
                place = {"row": items, "idx": row.idx, "frame": row.frame, "name": picture.name, "uri": row.uri}
                index.write(encode(place) + b"\n")
                items += 1
            vectors.seek(0)
            _write_header(vectors, items, *(shape or ("float32", 0)))
        written = contents(folder, path, _MAIN)
    return ExportSummary("embeddings", path, items, 0, written)


def _checked(picture: Picture, expected: tuple[str, int] | None) -> tuple[str, int]:
    found = (str(picture.record["dtype"]), int(picture.record["dimensions"]))
    size = len(picture.row.blob or b"")
    if (expected or found) != found or size != found[1] * np.dtype(found[0]).itemsize:
        wanted = expected or found
        raise ExportFailed(
            f"{picture.row.uri} has a vector of {found[1]} {found[0]} in {size} bytes, others have {wanted[1]} "
            f"{wanted[0]}; use jsonl or parquet"
        )
    return found


def _write_header(file: IO[bytes], rows: int, dtype: str, dimensions: int) -> None:
    """Version 1.0 of https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html, padded with spaces."""
    description: dict[str, Any] = {
        "descr": np.dtype(dtype).newbyteorder("<").str,
        "fortran_order": False,
        "shape": (rows, dimensions),
    }
    prefix = b"\x93NUMPY\x01\x00" + (_HEADER_BYTES - 10).to_bytes(2, "little")
    file.write(prefix + repr(description).encode("ascii").ljust(_HEADER_BYTES - 11) + b"\n")
