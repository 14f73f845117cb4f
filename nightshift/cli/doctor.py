"""`nightshift doctor`."""

from __future__ import annotations

import sys

import click

from nightshift.cli.errors import ERROR, UNREACHABLE
from nightshift.cli.output import STYLES, json_option, print_json
from nightshift.settings import load_settings


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this machine, its runtimes, the broker and the database. Changes nothing."""
    from nightshift.doctor import examine

    failed = []
    for finding in examine(load_settings()):
        if finding.level == "fail":
            failed.append(finding.subject)
        if as_json:
            print_json(finding)
            continue
        hint = f"     {finding.hint}" if finding.hint else ""
        click.echo(f" {_coloured(finding.level)} {finding.subject:<9} {finding.found}{hint}")
    if {"broker", "database"}.intersection(failed):
        return UNREACHABLE
    return ERROR if failed else 0


def _coloured(level: str) -> str:
    import os

    plain = f"{level:<5}"
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain
    style = STYLES[level].split()
    return click.style(plain, fg=style[-1], bold="bold" in style)
