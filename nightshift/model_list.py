"""The models of this machine's folders, as they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def names(folders: Sequence[Path]) -> list[str]:
    """Give the ids of all models, sorted; a folder that is not there has none."""
    from inference_engine.providers.local import list_models

    return list_models([folder for folder in folders if folder.is_dir()])


def describe(name: str, folders: Sequence[Path]) -> dict[str, Any]:
    """Give a model's packages; a broken one is named with what is wrong."""
    from inference_engine.errors import PackageInvalid
    from inference_engine.finding import local_package
    from inference_engine.providers.local import find_model

    try:
        model = find_model(name, folders)
    except PackageInvalid as error:
        return {"model": name, "task": "broken", "classes": (), "packages": (str(error),)}
    first = local_package(model.packages[0])
    packages = (*(package.package_id for package in model.packages), *(f"{broken} (broken)" for broken in model.broken))
    return {"model": name, "task": first.task, "classes": first.class_names, "packages": packages}
