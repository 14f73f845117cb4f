"""`--trust` and `--allow-code`: what the workers that a command starts may open."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def _settings(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...] | bool | None:
    return (True if "all" in values else values) if values else None


def trust_options(command: F) -> F:
    """Add both options to a command, which hands them to `trust_settings`."""
    trust = click.option(
        "--trust",
        multiple=True,
        callback=_settings,
        metavar="HASH|all",
        help="Packages that may be opened here although they can run code: plans, TorchScript, exported programs.",
    )
    allow = click.option("--allow-code", is_flag=True, help="Packages with Python code of their own may run here too.")
    return trust(allow(command))


def trust_settings(trust: tuple[str, ...] | bool | None, allow_code: bool) -> dict[str, Any]:
    """Give the settings that the options stand for; what was not given is left to the environment and the file."""
    given = {"trust": trust, "allow_local_code_packages": allow_code or None}
    return {name: value for name, value in given.items() if value is not None}
