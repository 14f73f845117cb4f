"""The closed lists that callers name things by. Each member is its own text, so plain strings work as well."""

from __future__ import annotations

from enum import StrEnum


class BackendType(StrEnum):
    """What runs a package."""

    TRT = "trt"
    TORCH = "torch"
    HF = "hf"
    OPENVINO = "openvino"
    ONNX = "onnx"


class Quantization(StrEnum):
    """Precision of a package's or a run's arithmetic."""

    FP32 = "fp32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"
    UNKNOWN = "unknown"  # the package does not say


class ColorFormat(StrEnum):
    """Order of colour channels in what a caller passes."""

    RGB = "rgb"
    BGR = "bgr"
