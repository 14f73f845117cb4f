"""`nightshift config`."""

from __future__ import annotations

import re
from typing import Any

import click

from nightshift.cli.output import json_option, plain, print_json, print_rows
from nightshift.settings import known_variables, load_settings
from producer.machine import FILE_NAME, settings_file


@click.command()
@click.argument("what", type=click.Choice(["show", "path"]), default="show")
@json_option
def config(what: str, as_json: bool) -> None:
    """Show every setting, its value and what it means; with `path`, the file. Passwords in URLs are not shown."""
    if what == "path":
        _tell_path(as_json=as_json)
        return
    values = load_settings().model_dump()
    flat: dict[str, Any] = {f"NIGHTSHIFT_{name.upper()}": value for name, value in values.items()}
    for group in ("worker", "fetch", "server"):
        flat |= {f"NIGHTSHIFT_{group.upper()}__{name.upper()}": value for name, value in values[group].items()}
    shown = {name: hide_password(flat[name]) for name in known_variables()}
    if as_json:
        print_json({"file": settings_file(), "settings": shown})
        return
    click.echo(f"file: {settings_file() or f'none ({FILE_NAME} here or in the user folder)'}", err=True)
    words = known_variables()
    print_rows(("variable", "value", "meaning"), [(name, _text(value), words[name]) for name, value in shown.items()])


def _tell_path(*, as_json: bool) -> None:
    """Print the settings file that counts; where there is none, nothing, and how to get one."""
    found = settings_file()
    if as_json:
        print_json({"file": found})
    elif found is None:
        click.echo(f"no {FILE_NAME} here or in the user folder; nightshift init writes one", err=True)
    else:
        click.echo(found)


def hide_password(value: Any) -> Any:
    """Replace the password in a URL by three stars; anything else is given back as JSON takes it."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", value) if isinstance(value, str) else plain(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ":".join(map(str, value))
    return "" if value is None else str(value)
