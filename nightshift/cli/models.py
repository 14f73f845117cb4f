"""`nightshift models`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.bench import bench
from nightshift.cli.output import json_option, print_json, print_rows
from nightshift.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that are found here, with their packages."""
    if context.invoked_subcommand is not None:
        return
    folders = load_settings().all_model_dirs
    found = [_describe(name, folders) for name in _names(folders)]
    if as_json:
        for model in found:
            print_json(model)
        return
    columns = ("model", "task", "classes", "packages")
    print_rows(columns, [(m["model"], m["task"], str(len(m["classes"])), ", ".join(m["packages"])) for m in found])


models.add_command(bench)


def _names(folders: Sequence[Path]) -> list[str]:
    from inference_engine.providers.local import list_models

    return list_models([folder for folder in folders if folder.is_dir()])


def _describe(name: str, folders: Sequence[Path]) -> dict[str, Any]:
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
