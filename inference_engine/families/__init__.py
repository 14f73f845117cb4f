"""One module a model family. The folder is the registry: `families/<family>.py` with `RECIPES` by task."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from inference_engine.errors import PackageInvalid
from inference_engine.model import Recipe


def known_families() -> tuple[str, ...]:
    """Names only; nothing is imported."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def recipe(family: str, task: str) -> Recipe:
    """What a family does for a task.

    Raises:
        PackageInvalid: the family or its task is not known.
    """
    if family not in known_families():
        raise PackageInvalid(f"family {family!r} is not one of {', '.join(known_families())}")
    recipes: dict[str, Recipe] = import_module(f"{__name__}.{family}").RECIPES
    if task not in recipes:
        raise PackageInvalid(f"{family} does {', '.join(recipes)}, not {task!r}")
    return recipes[task]
