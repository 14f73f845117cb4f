"""Read what an ONNX file says of itself, without ONNX Runtime and without reading its weights.

Field numbers are those of onnx.proto3 (onnx/onnx, Apache-2.0): ModelProto opset_import 8, graph 7,
metadata_props 14; GraphProto node 1, initializer 5, input 11, output 12.
"""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from pathlib import Path

from inference_engine.errors import PackageInvalid
from inference_engine.protobuf import fields, text_of, text_pair
from inference_engine.sessions import TensorSpec

#: TensorProto.DataType -> numpy name, for the types that inputs and outputs of vision models have.
_DTYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
#: protobuf writes a negative int64 as its two's complement: numbers from here on are negative, which no size is.
_INT64_SIGN = 1 << 63


@dataclass(frozen=True, slots=True)
class OnnxHeader:
    """What the file declares.

    Attributes:
        opset: version of the default operator set.
        domains: other operator sets that it imports.
        inputs: without those that have an initializer.
        metadata: what the exporter left (`names`, `imgsz`, `task` ... of an ultralytics export).
        op_types: names of the operators in the main graph.
    """

    opset: int
    domains: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: dict[str, str]
    op_types: frozenset[str]

    @property
    def is_quantized(self) -> bool:
        """Holds int8 arithmetic (quantise / dequantise pairs or integer operators)."""
        return bool(
            self.op_types & {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"}
        )


def read_onnx_header(path: Path) -> OnnxHeader:
    """Read the declarations of an ONNX file of any size.

    Raises:
        PackageInvalid: the file is missing, empty or not an ONNX model.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _header(data, path)
    except (OSError, ValueError, IndexError, UnicodeDecodeError) as error:
        raise PackageInvalid(f"{path}: not an ONNX model that can be read ({error})") from error


def _header(data: mmap.mmap, path: Path) -> OnnxHeader:
    opset = 0
    domains: list[str] = []
    metadata: dict[str, str] = {}
    inputs: list[TensorSpec] = []
    outputs: list[TensorSpec] = []
    ops: set[str] = set()
    weights: set[str] = set()
    for number, start, end, _ in fields(data, 0, len(data)):
        if number == 8:
            domain, version = _opset(data, start, end)
            opset, domains = (version, domains) if domain in ("", "ai.onnx") else (opset, [*domains, domain])
        elif number == 14:
            key, value = text_pair(data, start, end)
            metadata[key] = value
        elif number == 7:
            for kind, first, last, _ in fields(data, start, end):
                if kind == 1:
                    ops.add(text_of(data, first, last, 4))
                elif kind == 5:
                    weights.add(text_of(data, first, last, 8))
                elif kind in (11, 12):
                    (inputs if kind == 11 else outputs).append(_value_info(data, first, last))
    if not opset or not outputs:
        raise PackageInvalid(f"{path}: not an ONNX model (no operator set or no output found in {len(data)} bytes)")
    free = tuple(spec for spec in inputs if spec.name not in weights)
    return OnnxHeader(opset, tuple(sorted(domains)), free, tuple(outputs), metadata, frozenset(ops))


def _opset(data: mmap.mmap, start: int, end: int) -> tuple[str, int]:
    version = next((value for number, _, _, value in fields(data, start, end) if number == 2), 0)
    return text_of(data, start, end, 1), version


def _value_info(data: mmap.mmap, start: int, end: int) -> TensorSpec:
    """ValueInfoProto: name 1, type 2 -> tensor_type 1 -> elem_type 1, shape 2 -> dim 1 -> dim_value 1."""
    dtype, shape = "unknown", []
    for number, first, last, _ in fields(data, start, end):
        if number != 2:
            continue
        for kind, a, b, _ in fields(data, first, last):
            if kind != 1:
                continue
            for part, c, d, value in fields(data, a, b):
                if part == 1:
                    dtype = _DTYPES.get(value, f"onnx type {value}")
                elif part == 2:
                    shape = [_dim(data, e, f) for n, e, f, _ in fields(data, c, d) if n == 1]
    return TensorSpec(text_of(data, start, end, 1), tuple(shape), dtype)


def _dim(data: mmap.mmap, start: int, end: int) -> int | None:
    return next(
        (value for number, _, _, value in fields(data, start, end) if number == 1 and 0 < value < _INT64_SIGN), None
    )
