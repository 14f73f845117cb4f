"""Modules whose names are imported when they are asked for: importing the module itself loads nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def lazy_names(module: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A module's `__getattr__` that takes each name from its home.

    Args:
        module: name of the module, for its messages.
        homes: module below `inference_engine` -> names that it has.
    """
    home_of = {name: home for home, names in homes.items() for name in names}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(import_module(f"inference_engine.{home_of[name]}"), name)

    return find
