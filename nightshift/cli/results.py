"""`nightshift results` and `nightshift export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nightshift.cli.exporting import Destination, ExportCommand, absolute, export_options, format_names
from nightshift.cli.output import json_option, print_json
from nightshift.cli.request import words
from nightshift.cli.summary import tell_exports
from nightshift.settings import load_settings
from nightshift.stack import open_client, open_store
from producer.exporting import export_job


@click.command()
@click.argument("job")
@click.option("--state", "states", multiple=True, help="Only ok, cached, failed or skipped; may be given again.")
@click.option("--limit", type=click.IntRange(min=1), help="Rows at most.")
@json_option
def results(job: str, states: tuple[str, ...], limit: int | None, as_json: bool) -> None:  # noqa: ARG001
    """Print a job's results, one JSON object a line.

    They come in the order of the items; those that are there already also while the job runs.
    """
    import itertools

    from jobstore.schema import OutcomeState

    if unknown := set(states) - set(OutcomeState):
        raise click.UsageError(f"no state called {unknown.pop()!r}; expected one of {', '.join(OutcomeState)}")
    with open_store(load_settings()) as store:
        rows = store.results(store.find_job(job), states=[OutcomeState(state) for state in states])
        for row in itertools.islice(rows, limit):
            print_json(
                {
                    "idx": row.idx, "frame": row.frame, "uri": row.uri, "state": row.state, "record": row.record,
                    "error": row.error, "timings_ms": row.timings_ms, "metadata": row.metadata,
                }
            )  # fmt: skip


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
