"""Results on standard output: JSON for programs, a table for a terminal, aligned text for a pipe."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json` to a command, as every command has it."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")(command)


def plain(value: Any) -> Any:
    """Give what JSON can hold: dataclasses as objects, paths as text, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def print_json(value: Any) -> None:
    """Print one object on one line."""
    click.echo(json.dumps(plain(value), ensure_ascii=False, default=str))


def is_terminal() -> bool:
    """Say whether a person reads standard output."""
    return sys.stdout.isatty()


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn by rich on a terminal, else as text in columns."""
    listed = [[str(cell) for cell in row] for row in rows]
    if not listed and sys.stderr.isatty():
        say("", "nothing to show")
    if is_terminal():
        _print_table(columns, listed)
        return
    widths = [max(map(len, column)) for column in zip(columns, *listed, strict=True)]
    for row in ([name for name in columns], *listed):  # noqa: C416
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console(no_color=bool(os.environ.get("NO_COLOR")), highlight=False).print(table)


#: Words that a terminal shows in colour, in any table.
STYLES = {
    "chosen": "bold green",
    "runnable": "cyan",
    "rejected": "red",
    "running": "cyan",
    "completed": "green",
    "completed_with_errors": "yellow",
    "failed": "red",
    "cancelled": "dim",
    "canary": "cyan",
    "paused": "yellow",
    "needs_attention": "bold red",
    "expired": "dim",
    "ok": "green",
    "warn": "yellow",
    "fail": "bold red",
}


def say(label: str, text: str) -> None:
    """Print one line about what goes on, to stderr: a label in ten columns, then words."""
    click.echo(f"{label:<9} {text}", err=True)


def duration(seconds: float) -> str:
    """Give `31.6 s`, `4 min 03 s` or `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def clock(seconds: float) -> str:
    """Give `0:00:12`."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def age(then: float | None, now: float) -> str:
    """Give how long ago a moment was: `12 s ago`, or nothing for no moment."""
    return "" if then is None else f"{duration(max(0.0, now - then))} ago"


def moment(epoch_s: float | None) -> str:
    """Give a local date and time to the second, or nothing."""
    return "" if epoch_s is None else time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s))


def count(number: int, noun: str) -> str:
    """Give `1 image` or `1,204 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
