"""`nightshift compile`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nightshift.cli.output import json_option, print_json
from nightshift.settings import load_settings

if TYPE_CHECKING:
    from inference_engine.packages import ModelPackage


@click.command(name="compile")
@click.argument("model")
@click.option("--to", "backend", type=click.Choice(["trt"]), required=True, help="What to build: a TensorRT plan.")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the new package.")
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True, help="Arithmetic."
)
@click.option("--batches", nargs=3, type=int, default=(1, 8, 32), show_default=True, help="Smallest, usual, largest.")
@click.option("--device", default="cuda", show_default=True, help="GPU that the plan is for, cuda or cuda:<index>.")
@click.option("--version-compatible", is_flag=True, help="Newer TensorRT reads it too; slower, and holds host code.")
@json_option
def compile(  # noqa: A001, PLR0913, PLR0917 (the command is called that; one parameter an option)
    model: str,
    backend: str,
    output: Path,
    precision: str,
    batches: tuple[int, int, int],
    device: str,
    version_compatible: bool,
    as_json: bool,
) -> None:
    """Build a model for this machine's GPU. It becomes a package folder.

    MODEL is a model's name or the path of an ONNX package folder. A plan runs on the kind of GPU and on the TensorRT
    version that built it. TensorRT 11 takes the precision from the ONNX file; 10 takes --precision.
    """
    from inference_engine.backends.parts.trt_builder import BuildOptions
    from inference_engine.backends.trt import compile_here

    options = BuildOptions(precision=precision, batches=batches, version_compatible=version_compatible)
    written = compile_here(_onnx_package(model), output, device, options)
    if as_json:
        print_json({"backend": backend, "package": written})
    else:
        click.echo(f"{backend} package: {written}")


def _onnx_package(model: str) -> ModelPackage:
    """The ONNX package of a model with the highest precision."""
    from inference_engine.errors import PackageInvalid
    from inference_engine.package_sections import PRECISIONS
    from inference_engine.packages import ModelPackage
    from inference_engine.providers.local import find_model

    found = find_model(model, load_settings().all_model_dirs).packages
    candidates = [package for package in found if isinstance(package, ModelPackage) and package.kind == "onnx"]
    if not candidates:
        kinds = ", ".join(sorted({package.kind for package in found}))
        raise PackageInvalid(f"{model} has no ONNX package to compile, only {kinds}; export it to ONNX first")
    return min(candidates, key=lambda package: PRECISIONS.index(package.quantization))
