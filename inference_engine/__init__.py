"""Load a vision model on the best backend this machine has, and run it on batches.

Nothing is imported until it is used: `import inference_engine` loads neither numpy nor a runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference_engine.auto import AutoModel, explain
    from inference_engine.describing import describe_model, describe_model_package, describe_runtime
    from inference_engine.enums import BackendType, ColorFormat, Quantization
    from inference_engine.errors import (
        EngineError,
        ImageUnreadable,
        InputInvalid,
        ModelNotFound,
        NoRunnableBackend,
        OutOfMemory,
        OutputInvalid,
        PackageInvalid,
        ParameterInvalid,
        SessionFailed,
    )
    from inference_engine.interfaces import ObjectDetectionModel
    from inference_engine.machine import Machine, probe_machine
    from inference_engine.model import VisionModel
    from inference_engine.negotiation import BACKEND_ORDER, Candidate, Decision, Reason
    from inference_engine.sessions import SessionOptions
    from inference_engine.tasks.detection import Detections

_HOMES = {
    "auto": ("AutoModel", "explain"),
    "describing": ("describe_model", "describe_model_package", "describe_runtime"),
    "enums": ("BackendType", "ColorFormat", "Quantization"),
    "errors": (
        "EngineError",
        "ImageUnreadable",
        "InputInvalid",
        "ModelNotFound",
        "NoRunnableBackend",
        "OutOfMemory",
        "OutputInvalid",
        "PackageInvalid",
        "ParameterInvalid",
        "SessionFailed",
    ),
    "interfaces": ("ObjectDetectionModel",),
    "machine": ("Machine", "probe_machine"),
    "model": ("VisionModel",),
    "negotiation": ("BACKEND_ORDER", "Candidate", "Decision", "Reason"),
    "sessions": ("SessionOptions",),
    "tasks.detection": ("Detections",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "BACKEND_ORDER",
    "AutoModel",
    "BackendType",
    "Candidate",
    "ColorFormat",
    "Decision",
    "Detections",
    "EngineError",
    "ImageUnreadable",
    "InputInvalid",
    "Machine",
    "ModelNotFound",
    "NoRunnableBackend",
    "ObjectDetectionModel",
    "OutOfMemory",
    "OutputInvalid",
    "PackageInvalid",
    "ParameterInvalid",
    "Quantization",
    "Reason",
    "SessionFailed",
    "SessionOptions",
    "VisionModel",
    "describe_model",
    "describe_model_package",
    "describe_runtime",
    "explain",
    "probe_machine",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
