"""Networks written in plain PyTorch, for packages that hold only a state dict.

A package names its module in `model_config.json`: `"module": {"name": "tinydet", "args": {...}}`. The file of that name
here gives `build(**args) -> torch.nn.Module`. Only the torch backend imports this folder's modules.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, cast

from inference_engine.errors import PackageInvalid

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

__all__ = ["build_module", "module_names"]


def module_names() -> tuple[str, ...]:
    """List the networks that this folder holds, without importing one."""
    return tuple(sorted(info.name for info in iter_modules(__path__)))


def build_module(name: str, args: Mapping[str, Any]) -> torch.nn.Module:
    """Build the network of this name with the package's arguments, its weights random, in training mode.

    Raises:
        PackageInvalid: no such network, or it does not take these arguments.
    """
    if name not in module_names():
        raise PackageInvalid(
            f"the package's module is {name!r}, but the networks known here are {', '.join(module_names())}; "
            "correct `module.name` in model_config.json, or update nightshift"
        )
    build = import_module(f"{__name__}.{name}").build
    try:
        return cast("torch.nn.Module", build(**args))
    except (TypeError, ValueError) as error:
        raise PackageInvalid(f"network {name!r} does not take the arguments {dict(args)}: {error}") from error
