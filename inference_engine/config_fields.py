"""Reading fields of a configuration's JSON: each gives the value, or refuses with the file and the key named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_engine.errors import PackageInvalid


def section(data: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    """The JSON object below a key; empty where the key is absent or null.

    Raises:
        PackageInvalid: something else stands there.
    """
    value = data.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PackageInvalid(f"{where}: {key} must be an object, found {value!r}")
    return value


def check_known(data: Mapping[str, Any], keys: set[str], where: str) -> None:
    """Refuse a key that nobody would read: ignoring it would change results without a word."""
    if unknown := sorted(set(data) - keys):
        raise PackageInvalid(f"{where}: unknown key {unknown[0]!r}; expected some of {', '.join(sorted(keys))}")


def text(data: Mapping[str, Any], key: str, where: str) -> str:
    """A text that is not empty."""
    value = data.get(key)
    if not isinstance(value, str) or not value:
        raise PackageInvalid(f"{where}: {key} must be a text, found {value!r}")
    return value


def flag(value: Any, name: str, where: str, default: bool = False) -> bool:
    """True or false; the default for null."""
    if value is None:
        return default
    if not isinstance(value, bool):
        raise PackageInvalid(f"{where}: {name} must be true or false, found {value!r}")
    return value


def is_number(value: Any) -> bool:
    """A JSON number; `true` is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def share(value: Any, name: str, where: str) -> float:
    """A number from 0 to 1."""
    if not is_number(value) or not 0 <= value <= 1:
        raise PackageInvalid(f"{where}: {name} must be a number from 0 to 1, found {value!r}")
    return float(value)


def positive(value: Any, name: str, where: str) -> int:
    """A whole number above 0."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise PackageInvalid(f"{where}: {name} must be a positive whole number, found {value!r}")
    return value


def optional_count(value: Any, name: str, where: str) -> int | None:
    """A whole number above 0, or None."""
    return None if value is None else positive(value, name, where)


def one_of(value: Any, allowed: Any, name: str, where: str) -> Any:
    """One of the allowed values."""
    if value not in allowed:
        raise PackageInvalid(f"{where}: {name} is {value!r}, expected one of {', '.join(map(str, allowed))[:120]}")
    return value


def size(value: Any, name: str, where: str) -> tuple[int, int]:
    """`{"height": .., "width": ..}` in pixels, as (height, width)."""
    if not isinstance(value, Mapping) or not {"height", "width"} <= value.keys():
        raise PackageInvalid(f"{where}: {name} needs height and width, found {value!r}")
    return positive(value["height"], f"{name}.height", where), positive(value["width"], f"{name}.width", where)
