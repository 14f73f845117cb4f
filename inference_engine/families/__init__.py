"""One module a model family. The folder is the registry: `families/<family>.py` with `RECIPES` by task.

Families of third parties are registered, or come in by entry points of the group `inference_engine.families`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from inference_engine.architectures import family_points, load_family, register_architectures
from inference_engine.errors import PackageInvalid, ParameterInvalid
from inference_engine.model import Recipe

_registered: dict[str, Mapping[str, Recipe]] = {}


def known_families() -> tuple[str, ...]:
    """Names only; nothing is imported."""
    return tuple(sorted({*_own_names(), *_registered, *(point.name for point in family_points())}))


def own_families() -> tuple[str, ...]:
    """Names of the families that come with the engine."""
    return tuple(sorted(_own_names()))


def tasks_of(family: str) -> tuple[str, ...]:
    """Tasks that a family decodes.

    Raises:
        PackageInvalid: the family is not known.
    """
    return tuple(_recipes(family))


def register_family(name: str, recipes: Mapping[str, Recipe], architectures: Sequence[str] = ()) -> None:
    """Make a family known in this process.

    Packages name it as their `family`, or have one of its architectures.

    Args:
        name: letters, digits, `-` and `_`.
        recipes: by task, such as `object-detection`.
        architectures: names of `model_architecture` that it decodes.

    Raises:
        ParameterInvalid: the name or an architecture is taken or cannot be one, or there is no recipe.
    """
    if not name.replace("-", "").replace("_", "").isalnum() or name in known_families():
        raise ParameterInvalid(
            f"a family cannot be called {name!r}: expected letters, digits, - and _, and none of "
            f"{', '.join(known_families())}"
        )
    if not recipes or not all(isinstance(made, Recipe) for made in recipes.values()):
        raise ParameterInvalid(f"family {name!r}: expected a Recipe for each of its tasks, found {dict(recipes)!r}")
    register_architectures(architectures, name)
    _registered[name] = dict(recipes)


def recipe(family: str, task: str) -> Recipe:
    """What a family does for a task.

    Raises:
        PackageInvalid: the family or its task is not known.
    """
    recipes = _recipes(family)
    if task not in recipes:
        raise PackageInvalid(f"{family} does {', '.join(recipes)}, not {task!r}")
    return recipes[task]


def _recipes(family: str) -> Mapping[str, Recipe]:
    if family in _registered:
        return _registered[family]
    if family in _own_names():
        own: Mapping[str, Recipe] = import_module(f"{__name__}.{family}").RECIPES
        return own
    for point in family_points():
        if point.name == family and (found := load_family(point)) is not None:
            given: Mapping[str, Recipe] = found.RECIPES
            return given
    raise PackageInvalid(f"family {family!r} is not one of {', '.join(known_families())}")


def _own_names() -> set[str]:
    return {module.name for module in iter_modules(__path__)}
