"""Parameters that several tasks take, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from inference_engine.config_fields import is_number
from inference_engine.errors import ParameterInvalid
from inference_engine.inference_config import NmsDefaults
from inference_engine.recommended import Recommended

#: Thresholds of classes that have one of their own.
ByClass = tuple[tuple[str, float], ...]


class ScoreParams(Protocol):
    """The parameters by which scores of classes are kept; every task that has classes has them."""

    @property
    def confidence(self) -> float:
        """Lowest score that is kept, for classes without a threshold of their own."""
        ...

    @property
    def per_class_confidence(self) -> ByClass:
        """Thresholds of single classes."""
        ...

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names that are kept; None keeps all."""
        ...


@lru_cache(maxsize=64)
def class_thresholds(params: ScoreParams, class_names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """Lowest score that is kept, `(classes,)` by class id; infinity for a class that is not wanted.

    Single precision, as scores are: 0.7 must keep a score that the network rounded down to float32's 0.7.
    """
    own = dict(params.per_class_confidence)
    wanted = set(class_names if params.classes is None else params.classes)
    table = [own.get(name, params.confidence) if name in wanted else np.inf for name in class_names]
    found = np.asarray(table, dtype=np.float32)
    found.flags.writeable = False
    return found


def check_names(given: Mapping[str, Any], params: type, what: str) -> None:
    """Refuse a parameter that nothing would read.

    Args:
        params: the dataclass whose fields are the parameters.
        what: who takes them, for the message.
    """
    known = [field.name for field in fields(params)]
    if unknown := sorted(set(given) - set(known)):
        raise ParameterInvalid(f"unknown parameter {unknown[0]!r}; {what} takes {', '.join(known) or 'none'}")


def refuse_all(given: Mapping[str, Any], what: str) -> None:
    """Refuse every parameter: a call of this task has none."""
    if given:
        raise ParameterInvalid(f"unknown parameter {min(given)!r}; {what} takes none")


def score_params(
    given: Mapping[str, Any], default: float, class_names: Sequence[str], recommended: Recommended
) -> dict[str, Any]:
    """Check `confidence`, `per_class_confidence` and `classes`, and fill them up.

    A confidence that the call gives holds for every class: the package's own thresholds are then left aside. The
    call's `per_class_confidence` goes before both, class by class.

    Args:
        default: confidence where neither the call nor the package says one.
    """
    said = given.get("confidence")
    confidence = said if said is not None else recommended.confidence if recommended.confidence is not None else default
    by_class = {} if said is not None else dict(recommended.per_class_confidence)
    by_class |= _by_class(given.get("per_class_confidence"), class_names)
    return {
        "confidence": share(confidence, "confidence"),
        "per_class_confidence": tuple(sorted(by_class.items())),
        "classes": class_filter(given.get("classes"), class_names),
    }


def suppression_params(given: Mapping[str, Any], defaults: NmsDefaults) -> dict[str, Any]:
    """Check `iou_threshold`, `max_detections` and `class_agnostic`, and fill them up."""
    known = {name: value for name, value in given.items() if value is not None}
    return {
        "iou_threshold": share(known.get("iou_threshold", defaults.iou_threshold), "iou_threshold"),
        "max_detections": count(known.get("max_detections", defaults.max_detections), "max_detections"),
        "class_agnostic": flag(known.get("class_agnostic", defaults.class_agnostic), "class_agnostic"),
    }


def share(value: Any, name: str) -> float:
    """A number from 0 to 1; `0` and `0.0` are the same."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ParameterInvalid(f"{name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def count(value: Any, name: str) -> int:
    """A whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ParameterInvalid(f"{name} must be a positive whole number, found {value!r}")
    return value


def flag(value: Any, name: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise ParameterInvalid(f"{name} must be true or false, found {value!r}")
    return value


def words(value: Any, name: str) -> tuple[str, ...]:
    """One text or a list of different ones, none of them empty."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not found or not all(isinstance(word, str) and word.strip() for word in found) or len(set(found)) < len(found):
        raise ParameterInvalid(f"{name} must be a text or a list of different texts, found {value!r}")
    return found


def class_filter(value: Any, class_names: Sequence[str], name: str = "classes") -> tuple[str, ...] | None:
    """Names of the model's classes; None for all."""
    if value is None:
        return None
    wanted = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list | tuple) else ()
    if not wanted:
        raise ParameterInvalid(f"{name} must be names, or left out to keep all, found {value!r}")
    _check_known(wanted, class_names)
    return wanted


def _by_class(value: Any, class_names: Sequence[str]) -> dict[str, float]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterInvalid(f"per_class_confidence must map class names to numbers, found {value!r}")
    _check_known(tuple(value), class_names)
    return {name: share(threshold, f"per_class_confidence of {name!r}") for name, threshold in value.items()}


def _check_known(names: Sequence[Any], class_names: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in class_names]:
        shown = ", ".join(class_names[:12]) + (" ..." if len(class_names) > 12 else "")
        raise ParameterInvalid(f"the model has no class {unknown[0]!r}; it has {len(class_names)}: {shown}")
