"""What `run` and `export` share: where exports go, which formats there are, and how they are filtered."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobstore.schema import OutcomeState
    from producer.exports import ExportOptions


class Destination(click.ParamType[Any]):
    """A folder, as a `Path`, or `s3://bucket/prefix` as it is."""

    name = "destination"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Refuse a file in the place of the folder before a night is spent."""
        if isinstance(value, Path):
            return value
        from producer.exports.bucket import is_bucket

        if is_bucket(value):
            return str(value)
        if "://" in value:
            self.fail(f"{value} is neither a folder nor s3://bucket/prefix", param, ctx)
        if (path := Path(value)).exists() and not path.is_dir():
            self.fail(f"{value} is a file; -o takes a folder", param, ctx)
        return path


def format_names(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Check the names before a night is spent on the job."""
    from producer.exports import find_format

    names = tuple(name.strip() for name in (value or "").split(",") if name.strip())
    for name in names:
        find_format(name)
    return names


class ExportCommand(click.Command):
    """A command whose help ends with the table of formats, made from the formats themselves."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table."""
        from producer.exports.registry import every_format

        with formatter.section("Formats"):
            formatter.write_dl([(each.name, each.about.replace("`", "")) for each in every_format()])
        super().format_epilog(ctx, formatter)


def export_options(values: dict[str, Any]) -> ExportOptions:
    """Give the options of an export from a command's own."""
    from producer.exports import ExportOptions

    return ExportOptions(**{**values, "states": outcome_states(values["states"])})


def outcome_states(names: Sequence[str]) -> tuple[OutcomeState, ...]:
    """Give the states of these names.

    Raises:
        click.UsageError: there is no such state.
    """
    from jobstore.schema import OutcomeState

    if unknown := set(names) - set(OutcomeState):
        raise click.UsageError(f"no state called {unknown.pop()!r}; expected one of {', '.join(OutcomeState)}")
    return tuple(OutcomeState(state) for state in names)


def absolute(output: Path | str) -> Path | str:
    """Give a folder's whole path; a bucket as it is."""
    return output.absolute() if isinstance(output, Path) else output
