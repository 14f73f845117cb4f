"""What a job may wish of the negotiation of its model: names and forms, checked before the job is accepted.

Values are judged by the worker that opens the model, which knows backends and packages. What the worker's operator
trusts is no wish: a job cannot widen it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any


def check_wishes(wishes: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with a job's wishes, by name; empty: nothing."""
    return [words for name, value in wishes.items() if (words := _problem(name, value)) is not None]


def _problem(name: str, value: Any) -> str | None:
    if name in _TRUST:
        return f"wish {name!r}: what may run code is decided where workers are started, never by a job"
    if name not in WISHES:
        nearest = difflib.get_close_matches(str(name), WISHES, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        return f"no wish is called {name!r}; {hint}a job may wish {', '.join(WISHES)}"
    expected, is_fitting = WISHES[name]
    return None if is_fitting(value) else f"wish {name!r}: expected {expected}, found {value!r}"


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_text, value))


def _is_name_or_names(value: Any) -> bool:
    return _is_text(value) or _is_texts(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_batch(value: Any) -> bool:
    is_range = isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_count, value))
    return _is_count(value) or (is_range and value[0] <= value[1])


def _is_providers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(_is_text(one) or _has_options(one) for one in value)


def _has_options(entry: Any) -> bool:
    is_pair = isinstance(entry, list | tuple) and len(entry) == 2
    return is_pair and _is_text(entry[0]) and isinstance(entry[1], Mapping)


def _is_fusion(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, Mapping) and bool(value) and value.keys() <= _FUSION)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


_FUSION = {"max_detections", "confidence", "iou_threshold", "class_agnostic"}
_TRUST = {"trust", "allow_local_code_packages", "allows_host_code", "trt_engine_host_code_allowed"}
#: Name -> what it takes, and what says whether a value has that form.
WISHES: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "backend": ("a backend, or several, best first", _is_name_or_names),
    "quantization": ("a precision, or several, best first", _is_name_or_names),
    "batch_size": ("a number of images a run, or the fewest and the most", _is_batch),
    "device": ("auto, cpu, cuda or cuda:<index>", _is_text),
    "strategy": ("order or measured", lambda value: value in ("order", "measured")),
    "measuring_budget_s": ("seconds that `measured` may take", _is_seconds),
    "package_id": ("the id of the one package that may be chosen", _is_text),
    "backend_order": ("backends, best first; one that is not named comes last", _is_texts),
    "execution_providers": ("ONNX Runtime's names, best first, each alone or with its options", _is_providers),
    "nms_fusion": (f"true, false, or some of {', '.join(sorted(_FUSION))}", _is_fusion),
}
