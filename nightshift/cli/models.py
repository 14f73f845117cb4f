"""`nightshift models`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.bench import bench
from nightshift.cli.errors import ERROR
from nightshift.cli.output import json_option, plain, print_json, print_rows
from nightshift.explaining import decide_here
from nightshift.model_list import describe, names
from nightshift.settings import load_settings
from producer.request import model_reference

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage

_DEST = click.option(
    "--dest",
    type=click.Path(path_type=Path, file_okay=False),
    help="Models folder; else the first of NIGHTSHIFT_MODEL_DIRS.",
)


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that are found here, with their packages."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@models.command("ls")
@json_option
def list_models(as_json: bool) -> None:
    """List the models that are found here, with their packages."""
    _list(as_json=as_json)


@models.command()
@click.argument("model")
@click.option("--package", "package_id", help="Fetch this package; else the one that would run here.")
@json_option
def pull(model: str, package_id: str | None, as_json: bool) -> None:
    """Fetch a model from its provider into the cache, checked, so that tonight waits for no network."""
    from inference_engine.errors import NoRunnableBackend
    from inference_engine.finding import local_package

    settings = load_settings()
    wishes = {} if package_id is None else {"package_id": package_id}
    decision = decide_here(settings, model_reference(model), "auto", wishes)
    if decision.chosen is None:
        raise NoRunnableBackend(f"nothing on this machine runs {decision.model_id}\n{decision}")
    package = local_package(decision.packages[decision.chosen.package_id])
    if as_json:
        print_json(_details(package))
    else:
        click.echo(f"{decision.model_id}: {package.package_id} in {package.weights.parent}")


def _list(*, as_json: bool) -> None:
    folders = load_settings().all_model_dirs
    found = [describe(name, folders) for name in names(folders)]
    if as_json:
        for model in found:
            print_json(model)
        return
    columns = ("model", "task", "classes", "packages")
    print_rows(columns, [(m["model"], m["task"], str(len(m["classes"])), ", ".join(m["packages"])) for m in found])


@models.command()
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--id", "model_id", required=True, help="What the model will be called.")
@click.option("--package", "package_id", help="What the package will be called; else after its kind and precision.")
@click.option("--task", help="object-detection where the source does not say it.")
@click.option("--architecture", help="yolov8 where the source does not say it.")
@click.option("--classes", type=click.Path(path_type=Path, exists=True), help="File with one class name a line.")
@click.option("--size", help="Height and width of the input in pixels, such as 480x640.")
@click.option("--quantization", help="fp32, fp16, bf16 or int8.")
@click.option("--module", help="Eager module that safetensors fill.")
@click.option("--module-args", default="{}", help="Its arguments, as JSON.")
@_DEST
@json_option
def add(  # noqa: PLR0913 (click passes each option)
    *,
    path: Path,
    model_id: str,
    package_id: str | None,
    task: str | None,
    architecture: str | None,
    classes: Path | None,
    size: str | None,
    quantization: str | None,
    module: str | None,
    module_args: str,
    dest: Path | None,
    as_json: bool,
) -> None:
    """Make a package from an ONNX file, a TorchScript or torch.export archive, safetensors or a Hugging Face folder."""
    from inference_engine.package_files import read_class_names
    from inference_engine.package_writer import NewPackage, add_package

    new = NewPackage(
        _checked_id(model_id),
        package_id and _checked_id(package_id),
        task,
        architecture,
        read_class_names(classes) if classes else None,
        _parsed_size(size),
        quantization,
        (module, _parsed_object(module_args)) if module else None,
    )
    package = add_package(path.absolute(), _dest(dest), new)
    if as_json:
        print_json(_details(package))
    else:
        click.echo(f"{package.model_id}: {package.package_id} in {package.weights.parent}")


@models.command()
@click.argument("model", required=False)
@json_option
def verify(model: str | None, as_json: bool) -> int:
    """Compute every file's hash again, of one model or of all; leave with status 1 where one is not as listed."""
    from inference_engine.errors import PackageInvalid
    from inference_engine.package_writer import hash_report
    from inference_engine.packages import read_package

    is_well, rows = True, []
    for name in [model] if model else names(load_settings().all_model_dirs):
        for folder in _package_folders(name):
            try:
                report = hash_report(folder)
                rows += [(name, folder.name, file, verdict) for file, verdict in report]
                read_package(folder)
            except PackageInvalid as error:
                is_well = False
                rows.append((name, folder.name, "package", f"broken: {error}"))
    if as_json:
        for row in rows:
            print_json(dict(zip(("model", "package", "file", "verdict"), row, strict=True)))
    else:
        print_rows(("model", "package", "file", "verdict"), rows)
    return 0 if is_well else ERROR


@models.command()
@json_option
def families(as_json: bool) -> None:
    """List what decodes which task, and how far tests prove it on each backend."""
    from nightshift.reached import MEANINGS, backends_shown, family_rows, read_reached

    rows = family_rows(read_reached())
    if as_json:
        for row in rows:
            print_json({"family": row.family, "task": row.task, "levels": dict(row.levels)})
        return
    names = backends_shown()
    cells = [[MEANINGS[row.levels[name]] if name in row.levels else "-" for name in names] for row in rows]
    print_rows(
        ("family", "task", *names), [(row.family, row.task, *told) for row, told in zip(rows, cells, strict=True)]
    )


@models.command()
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Say what is known of a model's packages: input, classes, files and hashes."""
    from inference_engine.packages import ModelPackage
    from inference_engine.providers.local import find_model

    found = find_model(model, load_settings().all_model_dirs)
    packages = [package for package in found.packages if isinstance(package, ModelPackage)]
    if as_json:
        print_json({"model": found.model_id, "packages": [_details(p) for p in packages], "broken": found.broken})
        return
    for package in packages:
        for key, value in _details(package).items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            click.echo(f"{key:<14}{json.dumps(text, ensure_ascii=False) if isinstance(text, dict) else text}")
        click.echo("")
    for name, why in found.broken.items():
        click.echo(f"{name} (broken): {why}")


@models.command()
@click.argument("model")
@click.option("--package", help="Remove this package's folder only.")
@_DEST
@click.confirmation_option(prompt="Delete the files?")
@json_option
def rm(model: str, package: str | None, dest: Path | None, as_json: bool) -> None:
    """Delete a model, or one package of it, from a models folder; the starter models stay."""
    folder = _dest(dest) / _checked_id(model) / (_checked_id(package) if package else "")
    is_model = any(folder.glob("*/model_config.json")) or (folder / "model_config.json").is_file()
    if not is_model or folder.is_symlink():
        raise click.UsageError(f"{folder} is not a model's folder")
    shutil.rmtree(folder)
    if as_json:
        print_json({"removed": folder})
    else:
        click.echo(f"removed {folder}")


def _dest(given: Path | None) -> Path:
    folders = load_settings().model_dirs
    if given is None and not folders:
        raise click.UsageError("no models folder is configured: give --dest, or set NIGHTSHIFT_MODEL_DIRS")
    return (given or folders[0]).expanduser().absolute()


def _checked_id(name: str) -> str:
    from inference_engine.providers.local import is_id

    if not is_id(name):
        raise click.UsageError(f"{name!r} is no id: letters, digits, `.`, `_`, `-`, and `/` between parts")
    return name


def _parsed_size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    height, _, width = text.partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise click.UsageError(f"--size must be HEIGHTxWIDTH, such as 480x640, found {text!r}")
    return int(height), int(width)


def _parsed_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise click.UsageError(f"--module-args is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"--module-args must be a JSON object, found {text!r}")
    return value


def _package_folders(model: str) -> list[Path]:
    """The package folders of a model, whole or broken."""
    from inference_engine.providers.local import package_folders

    return package_folders(model, load_settings().all_model_dirs)


def _details(package: ModelPackage) -> dict[str, Any]:
    network = package.config.network_input
    details: dict[str, Any] = plain(
        {
            "package": package.package_id,
            "kind": package.kind,
            "architecture": package.architecture,
            "task": package.task,
            "precision": package.quantization,
            "input": f"{network.hw[0]}x{network.hw[1]} {network.color_mode}, {network.resize_mode}",
            "classes": package.class_names,
            "folder": package.weights.parent,
            "digest": package.digest,
            "files": package.files,
        }
    )
    return details


models.add_command(bench)
