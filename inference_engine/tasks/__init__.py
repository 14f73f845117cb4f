"""One module a behaviour: its prediction type, its parameters, and how a prediction becomes a record and back.

The folder is the registry: each module has `TASK`, the name of its behaviour, and `PREDICTION`, the type of its
results. A record is JSON; what is too large for it (a map, a vector) is a blob beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Protocol, runtime_checkable

from inference_engine.errors import ParameterInvalid

__all__ = ["Prediction", "known_tasks", "prediction_type", "read_prediction", "write_prediction"]


class Prediction(Protocol):
    """What every task's result can do, beside its fields."""

    def to_record(self) -> dict[str, Any]:
        """JSON-safe, with `task` and `image_hw`."""
        ...

    def draw(self, image: Any) -> Any:
        """A new picture with the prediction on it: `(H, W, 3)` uint8 RGB in, the same out."""
        ...


@runtime_checkable
class _WithBlob(Protocol):
    def to_blob(self) -> bytes: ...


@cache
def _has_blob(kind: type) -> bool:
    """Asked for every image, and a Protocol's check costs as much as the record of a small picture."""
    return issubclass(kind, _WithBlob)


@cache
def _types() -> Mapping[str, Any]:
    """Prediction types by task; imports the modules of this folder and nothing heavier than numpy."""
    names = sorted(module.name for module in iter_modules(__path__) if not module.ispkg)
    modules = [import_module(f"{__name__}.{name}") for name in names]
    return {module.TASK: module.PREDICTION for module in modules}


def known_tasks() -> tuple[str, ...]:
    """Names of all behaviours."""
    return tuple(sorted(_types()))


def prediction_type(task: str) -> Any:
    """The class of a task's results.

    Raises:
        ParameterInvalid: there is no such task.
    """
    if task not in _types():
        raise ParameterInvalid(f"task {task!r} is not one of {', '.join(known_tasks())}")
    return _types()[task]


def write_prediction(prediction: Prediction) -> tuple[dict[str, Any], bytes | None]:
    """A prediction as its record, and the blob beside it; None where the record holds everything."""
    return prediction.to_record(), prediction.to_blob() if _has_blob(type(prediction)) else None  # type: ignore[attr-defined]


def read_prediction(record: Mapping[str, Any], class_names: Sequence[str], blob: bytes | None = None) -> Any:
    """The prediction that `write_prediction` wrote.

    Args:
        class_names: of the model that made it, by class id.

    Raises:
        ParameterInvalid: the record's task is not known.
        ValueError: the record needs a blob, and there is none or another one.
    """
    task = record.get("task", "")
    kind = prediction_type(task)
    if not _has_blob(kind):
        return kind.from_record(record, class_names)
    if blob is None:
        raise ValueError(f"a record of task {task!r} is read with its blob")
    return kind.from_record(record, class_names, blob)
