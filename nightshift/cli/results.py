"""`nightshift results` and `nightshift export`."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nightshift.cli.exporting import (
    Destination,
    ExportCommand,
    absolute,
    export_options,
    format_names,
    outcome_states,
)
from nightshift.cli.output import is_terminal, json_option, print_json
from nightshift.cli.request import words
from nightshift.cli.summary import tell_exports
from nightshift.settings import load_settings
from nightshift.stack import open_client
from producer.exporting import export_job
from producer.gateway import RESULTS_A_PAGE

if TYPE_CHECKING:
    from producer.result import Result


@click.command()
@click.argument("job")
@click.option(
    "--where",
    metavar="EXPR",
    help="Only those of which it is true: \"score > .5 and label = 'person'\" (docs/python.md).",
)
@click.option("--state", "states", multiple=True, help="Only ok, cached, failed or skipped; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows at most.")
@json_option
def results(job: str, where: str | None, states: tuple[str, ...], limit: int | None, as_json: bool) -> None:
    """Print a job's results, one JSON object a line; on a terminal a line of words each, but for --json.

    They come in the order of the items; those that are there already also while the job runs. With a --where that asks
    about objects, `matching` has the places in the record of those that it is true of.
    """
    from producer.reading import read_results
    from producer.where import parse_where

    wanted, expression = outcome_states(states), None if where is None else parse_where(where)
    with open_client(load_settings()) as stack:
        found = read_results(stack.gateway, stack.gateway.find(job), expression, wanted, RESULTS_A_PAGE)
        for result in itertools.islice(found, limit):
            if is_terminal() and not as_json:
                click.echo(words_of(result))
            else:
                print_json(_line(result))


def _line(result: Result) -> dict[str, Any]:
    """Give a result as programs read it; its item's URI is called as in the export `jsonl`."""
    told = result.to_dict()
    line = {"idx": told.pop("idx"), "frame": told.pop("frame"), "uri": told.pop("source"), **told}
    return line if result.kept is None else {**line, "matching": result.kept}


def words_of(result: Result) -> str:
    """Give a result for people: where, how it ended, and what was found or went wrong."""
    frame = f"@{result.frame}" if result.frame else ""
    if result.error is not None:
        return f"{result.source}{frame}  {result.state}  {result.error.code}: {result.error.message}"
    record = result.record or {}
    names = list(record.get("class_name") or ())
    kept = range(len(names)) if result.kept is None else result.kept
    counted = Counter(names[index] for index in kept if index < len(names))
    found = ", ".join(f"{number} {name}" for name, number in counted.most_common())
    return f"{result.source}{frame}  {result.state}  {found or str(record.get('text', '')).strip() or 'nothing found'}"


@click.command(cls=ExportCommand)
@click.argument("job")
@click.option("-f", "--formats", required=True, callback=format_names, metavar="A,B", help="Formats, as below.")
@click.option(
    "-o", "--output", required=True, type=Destination(), metavar="DEST", help="Folder, or s3://bucket/prefix."
)
@click.option("--min-confidence", type=click.FloatRange(0, 1), default=0.0, help="Leave out what scores lower.")
@click.option("--classes", callback=words, metavar="A,B", help="Leave out objects of other classes.")
@click.option("--state", "states", multiple=True, help="Only ok, cached, failed or skipped; may be given again.")
@click.option("--save-conf", is_flag=True, help="yolo: write the score at each line's end.")
@click.option("--previews", type=click.IntRange(min=1), default=200, show_default=True, help="previews: pictures.")
@click.option("--with-images", is_flag=True, help="yolo, voc, hf: copy the pictures too.")
@json_option
def export(job: str, formats: tuple[str, ...], output: Path | str, as_json: bool, **options: Any) -> None:
    """Write a job's results as datasets, to a folder or a bucket.

    Each format has a file or folder of its own; `manifest.json` comes last. A format that has no place for what the
    job's model finds is refused before anything is written. The same results give the same bytes.
    """
    wanted = export_options(options)
    with open_client(load_settings()) as stack:
        exports = export_job(stack.gateway, stack.gateway.find(job), formats, absolute(output), wanted)
    if as_json:
        print_json(exports)
    else:
        tell_exports(exports)
