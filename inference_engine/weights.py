"""Numbers of a weights file that are not finite: a training that went wrong, or a damaged file.

Read in pieces, without a runtime. NaN is refused wherever it stands. Infinity is refused among other numbers; a tensor
whose finite values are all one number is a mask or a constant, where exporters write it on purpose.
"""

from __future__ import annotations

import json
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from inference_engine.errors import PackageInvalid
from inference_engine.protobuf import fields, text_of

#: Numbers that are looked at together; bounds the memory that the check takes.
_PIECE = 1 << 20
#: TensorProto.DataType and safetensors' names -> numpy dtype; bfloat16 is looked at bit by bit.
_ONNX_TYPES = {1: "<f4", 10: "<f2", 11: "<f8", 16: "bf16"}
_SAFETENSORS_TYPES = {"F32": "<f4", "F16": "<f2", "F64": "<f8", "BF16": "bf16"}
#: Longest JSON header of a safetensors file (its own limit).
_LONGEST_HEADER = 100_000_000


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """Where the numbers of one tensor lie in the file."""

    name: str
    dtype: str
    start: int
    count: int


def check_finite(path: Path, sha256: str) -> None:
    """Refuse an ONNX or safetensors file with weights that are not finite; other files are not looked into.

    The verdict is remembered for the process by the file's hash.

    Raises:
        PackageInvalid: a tensor is not finite, or the file cannot be read.
    """
    if path.suffix in (".onnx", ".safetensors") and (wrong := _first_wrong(path, sha256)):
        raise PackageInvalid(f"{path}: {wrong}; the training went wrong or the file is damaged")


@lru_cache(maxsize=256)
def _first_wrong(path: Path, sha256: str) -> str | None:  # noqa: ARG001 (the hash is the key)
    try:
        tensors = _safetensors(path) if path.suffix == ".safetensors" else list(_onnx_tensors(path))
        with path.open("rb") as file:
            return next((wrong for tensor in tensors if (wrong := _wrong(file, tensor))), None)
    except (OSError, ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise PackageInvalid(f"{path}: its weights cannot be read ({type(error).__name__}: {error})") from error


def _wrong(file: BinaryIO, tensor: StoredTensor) -> str | None:
    import numpy as np

    infinite, least, greatest = 0, np.inf, -np.inf
    for values in _pieces(file, tensor):
        finite = np.isfinite(values)
        if finite.all():
            least, greatest = min(least, values.min()), max(greatest, values.max())
            continue
        if np.isnan(values).any():
            return f"weights {tensor.name!r} hold NaN"
        infinite += int(len(values) - finite.sum())
        if finite.any():
            least, greatest = min(least, values[finite].min()), max(greatest, values[finite].max())
    return f"weights {tensor.name!r} hold {infinite} infinite numbers" if infinite and least < greatest else None


def _pieces(file: BinaryIO, tensor: StoredTensor) -> Iterator[Any]:
    import numpy as np

    dtype = np.dtype("<u2" if tensor.dtype == "bf16" else tensor.dtype)
    file.seek(tensor.start)
    for done in range(0, tensor.count, _PIECE):
        raw = file.read(min(_PIECE, tensor.count - done) * dtype.itemsize)
        values = np.frombuffer(raw, dtype)
        yield (values.astype("<u4") << 16).view("<f4") if tensor.dtype == "bf16" else values


def _safetensors(path: Path) -> list[StoredTensor]:
    """Format: 8 bytes length, that many bytes of JSON, then the numbers (huggingface/safetensors, README)."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= _LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        raw = file.read(length)
        if len(raw) != length:
            raise ValueError(f"a header of {length} bytes, of which {len(raw)} are there")
        header = json.loads(raw)
    size, found = path.stat().st_size, []
    for name, entry in header.items():
        dtype = None if name == "__metadata__" else _SAFETENSORS_TYPES.get(entry["dtype"])
        if dtype is None:
            continue
        first, last = entry["data_offsets"]
        if not 0 <= first <= last <= size - 8 - length:
            raise ValueError(f"tensor {name!r} lies at {first} to {last}, behind the file's end")
        found.append(StoredTensor(name, dtype, 8 + length + first, (last - first) // _width(dtype)))
    return found


def _onnx_tensors(path: Path) -> Iterator[StoredTensor]:
    """Initializers with raw or packed numbers inside the file; external data are left to the runtime."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, start, end, _ in fields(data, 0, len(data)):
            if number == 7:
                for kind, first, last, _ in fields(data, start, end):
                    if kind == 5:
                        yield from _onnx_tensor(data, first, last)


def _onnx_tensor(data: mmap.mmap, start: int, end: int) -> Iterator[StoredTensor]:
    """TensorProto: data_type 2, float_data 4, name 8, raw_data 9, double_data 10."""
    numbers = {number: (first, last, value) for number, first, last, value in fields(data, start, end)}
    dtype = _ONNX_TYPES.get(numbers[2][2]) if 2 in numbers else None
    place = next((numbers[number] for number in (9, 4, 10) if number in numbers), None)
    if dtype is not None and place is not None:
        yield StoredTensor(text_of(data, start, end, 8), dtype, place[0], (place[1] - place[0]) // _width(dtype))


def _width(dtype: str) -> int:
    return {"<f8": 8, "<f4": 4}.get(dtype, 2)
